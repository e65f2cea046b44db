// Thumbnails in place of points, once one is close enough for them.
import { thumbnailUrl } from "../core/api.js";

const SIDE = 74;
const MOST = 160;
const KEPT = 600;
const AT_ONCE = 8;

/** Draws thumbnails of images in view; asks for those it lacks. changed(): one has come. */
export class Thumbnails {
  constructor(collection, points, cells, changed) {
    Object.assign(this, { collection, points, cells, changed });
    this.kept = new Map();
    this.queue = [];
    this.loading = 0;
  }

  /** How far in (0..1) thumbnails are, by how many images there are in view. */
  static shown(inView) {
    return inView > 0 && inView <= 1200;
  }

  /** Over the points that were drawn. view: as `Raster` takes it, ratio: canvas pixels per CSS pixel. */
  draw(context, { x, y, scale }, ratio, { colours, picked }) {
    const { width, height } = context.canvas;
    const side = SIDE * ratio;
    const left = x - width / 2 / scale;
    const top = y - height / 2 / scale;
    const rows = this.cells.within(left, top, left + width / scale, top + height / scale, 1300);
    this.queue = [];
    if (!Thumbnails.shown(rows.length)) return [];
    const taken = new Set();
    const drawn = [];
    // The same images are chosen wherever the view is: by id, so that panning does not shuffle them.
    rows.sort((a, b) => hashed(this.points.ids[a]) - hashed(this.points.ids[b]));
    const step = side / scale;
    for (const row of rows) {
      if (drawn.length >= MOST) break;
      const cellX = Math.floor(this.points.x[row] / step);
      const cellY = Math.floor(this.points.y[row] / step);
      const key = cellX * 1e6 + cellY;
      if (taken.has(key)) continue;
      taken.add(key);
      const picture = this.#picture(this.points.ids[row]);
      if (!picture) continue;
      const centre = [(this.points.x[row] - left) * scale, (this.points.y[row] - top) * scale];
      drawn.push({ row, box: paint(context, picture, centre, side * 0.92, ratio, colours[row], !picked || picked[row] === 1) });
    }
    this.#load();
    return drawn;
  }

  #picture(id) {
    const known = this.kept.get(id);
    if (known === undefined) {
      this.queue.push(id);
      return null;
    }
    this.kept.delete(id);
    this.kept.set(id, known);
    return known;
  }

  #load() {
    while (this.loading < AT_ONCE && this.queue.length) {
      const id = this.queue.shift();
      if (this.kept.has(id)) continue;
      this.loading += 1;
      const image = new Image();
      image.decoding = "async";
      this.kept.set(id, null);
      if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
      image.addEventListener("load", () => this.#came(id, image));
      image.addEventListener("error", () => this.#came(id, null));
      image.src = thumbnailUrl(this.collection, id, 64);
    }
  }

  #came(id, image) {
    this.loading -= 1;
    this.kept.set(id, image);
    this.changed();
  }
}

function hashed(id) {
  return Math.imul(id ^ (id >>> 15), 0x2c1b3c6d) >>> 0;
}

/** A picture about a place, framed in its point's colour. */
function paint(context, image, [cx, cy], side, ratio, colour, bright) {
  const share = side / Math.max(image.naturalWidth, image.naturalHeight);
  const w = image.naturalWidth * share;
  const h = image.naturalHeight * share;
  const [left, top] = [Math.round(cx - w / 2), Math.round(cy - h / 2)];
  context.globalAlpha = bright ? 1 : 0.25;
  const edge = 2 * ratio;
  context.fillStyle = `rgb(${colour & 255} ${(colour >>> 8) & 255} ${(colour >>> 16) & 255})`;
  context.fillRect(left - edge, top - edge, w + 2 * edge, h + 2 * edge);
  context.drawImage(image, left, top, w, h);
  context.globalAlpha = 1;
  return [left, top, w, h];
}
