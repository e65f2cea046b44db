// Points drawn pixel by pixel into one buffer: 100,000 of them in a few milliseconds, on any machine.

/**
 * Draws points onto a canvas: `draw(view, look)`.
 *
 * view: {x, y, scale}: the map's place at the middle of the canvas, and canvas pixels per unit of it.
 * look: {colours, faint, picked, background}: ABGR by point; `picked`: Uint8Array, 1 for points that stand out, or
 * null; others are then mixed into the background.
 */
export class Raster {
  constructor(canvas, points, cells) {
    Object.assign(this, { canvas, points, cells });
    this.context = canvas.getContext("2d", { alpha: false });
    this.image = null;
    this.seen = 0;
  }

  /** Points are squares of this many canvas pixels: larger the closer one is. */
  size(scale, dense) {
    const spread = Math.sqrt((scale * scale) / Math.max(1, dense));
    const ratio = Math.min(3, window.devicePixelRatio || 1);
    return Math.round(Math.min(9, Math.max(2, spread * 0.32)) * Math.max(1, ratio * 0.75));
  }

  draw({ x, y, scale }, { colours, picked, background }) {
    const { width, height } = this.canvas;
    if (!width || !height) return;
    if (!this.image || this.image.width !== width || this.image.height !== height) {
      this.image = new ImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    const { pixels } = this;
    pixels.fill(background);
    const side = this.size(scale, this.points.count);
    const half = side >> 1;
    const left = x - width / 2 / scale;
    const top = y - height / 2 / scale;
    const margin = side / scale;
    const { x: xs, y: ys } = this.points;
    const { rows } = this.cells;
    let seen = 0;
    const pass = (wanted) =>
      this.cells.ranges(left - margin, top - margin, left + width / scale + margin, top + height / scale + margin, (from, to) => {
        for (let at = from; at < to; at += 1) {
          const row = rows[at];
          if (picked && picked[row] !== wanted) continue;
          const px = (((xs[row] - left) * scale) | 0) - half;
          const py = (((ys[row] - top) * scale) | 0) - half;
          if (px < -side || py < -side || px >= width || py >= height) continue;
          seen += 1;
          const colour = picked && !wanted ? mixed(colours[row], background) : colours[row];
          const x0 = px < 0 ? 0 : px;
          const x1 = px + side > width ? width : px + side;
          const y1 = py + side > height ? height : py + side;
          for (let line = py < 0 ? 0 : py; line < y1; line += 1) pixels.fill(colour, line * width + x0, line * width + x1);
        }
      });
    if (picked) pass(0);
    pass(1);
    this.seen = seen;
    this.context.putImageData(this.image, 0, 0);
  }
}

/** A quarter of the colour, the rest background. */
function mixed(colour, background) {
  const part = (shift) => ((((colour >>> shift) & 255) + 3 * ((background >>> shift) & 255)) >> 2) << shift;
  return ((255 << 24) | part(16) | part(8) | part(0)) >>> 0;
}
