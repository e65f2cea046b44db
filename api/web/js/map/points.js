// The points of a map as they travel, and what lies where.

const MAGIC = "LKMAPV1\0";

/**
 * A packed map (docs/api.md) → {count, ids, x, y, cluster, time, folder, header}.
 *
 * ids: Float64Array, exact up to 2^53. x, y: Float32Array in 0..1, the longer side of the map filling
 * it. cluster: number + 1, 0 for none; time: 1 … 65535, 0 for not known; folder: place in
 * header.folders. Throws when it is no such map.
 */
export function unpack(buffer) {
  const bytes = new Uint8Array(buffer);
  const magic = String.fromCharCode(...bytes.subarray(0, 8));
  if (magic !== MAGIC) throw new Error("this is no map that this page can read");
  const length = new DataView(buffer).getUint32(8, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(12, 12 + length)));
  const start = 12 + length;
  const column = (name) => {
    const { offset, bytes: size, type } = header.columns.find((each) => each.name === name);
    const from = start + offset;
    return type === "uint16" ? words(buffer, from, size) : bytes.subarray(from, from + size);
  };
  const [left, top, right, bottom] = header.bounds;
  const span = Math.max(right - left, bottom - top);
  const place = (packed, size) => Float32Array.from(packed, (v) => 0.5 + ((v / 65535 - 0.5) * size) / span);
  return {
    header,
    count: header.count,
    ids: varints(column("id"), header.count),
    x: place(column("x"), right - left),
    y: place(column("y"), bottom - top),
    cluster: column("cluster"),
    time: column("time"),
    folder: column("folder"),
  };
}

/** Little-endian words, copied, so that neither alignment nor the machine's order matters. */
function words(buffer, from, size) {
  const view = new DataView(buffer, from, size);
  return Uint16Array.from({ length: size / 2 }, (_, at) => view.getUint16(2 * at, true));
}

function varints(bytes, count) {
  const ids = new Float64Array(count);
  let at = 0;
  let id = 0;
  for (let row = 0; row < count; row += 1) {
    let value = 0;
    let place = 1;
    let byte;
    do {
      byte = bytes[at];
      at += 1;
      value += (byte & 127) * place;
      place *= 128;
    } while (byte > 127);
    id += value;
    ids[row] = id;
  }
  return ids;
}

/** Points by cells of a grid over 0..1 × 0..1, so that what is in view is found without the rest. */
export class Cells {
  constructor({ x, y, count }) {
    this.x = x;
    this.y = y;
    this.side = Math.max(1, Math.min(512, Math.round(Math.sqrt(count / 8))));
    const { side } = this;
    const of = new Uint32Array(count);
    this.start = new Uint32Array(side * side + 1);
    for (let row = 0; row < count; row += 1) {
      of[row] = this.#cell(y[row]) * side + this.#cell(x[row]);
      this.start[of[row] + 1] += 1;
    }
    for (let cell = 0; cell < side * side; cell += 1) this.start[cell + 1] += this.start[cell];
    const next = this.start.slice();
    this.rows = new Uint32Array(count);
    for (let row = 0; row < count; row += 1) {
      this.rows[next[of[row]]] = row;
      next[of[row]] += 1;
    }
  }

  #cell(value) {
    return Math.min(this.side - 1, Math.max(0, Math.floor(value * this.side)));
  }

  /** Calls run(from, to) for ranges of `rows` whose cells touch the box. */
  ranges(left, top, right, bottom, run) {
    if (right < 0 || bottom < 0 || left > 1 || top > 1) return;
    const [x0, x1, y0, y1] = [left, right, top, bottom].map((value) => this.#cell(value));
    for (let line = y0; line <= y1; line += 1) {
      const from = this.start[line * this.side + x0];
      const to = this.start[line * this.side + x1 + 1];
      if (to > from) run(from, to);
    }
  }

  /** Rows within the box, at most `most` of them. */
  within(left, top, right, bottom, most = Infinity) {
    const found = [];
    this.ranges(left, top, right, bottom, (from, to) => {
      for (let at = from; at < to && found.length < most; at += 1) {
        const row = this.rows[at];
        const [px, py] = [this.x[row], this.y[row]];
        if (px >= left && px <= right && py >= top && py <= bottom) found.push(row);
      }
    });
    return found;
  }

  /** The row nearest to a place, no further than `reach`; -1 when there is none. */
  nearest(px, py, reach) {
    let best = -1;
    let least = reach * reach;
    this.ranges(px - reach, py - reach, px + reach, py + reach, (from, to) => {
      for (let at = from; at < to; at += 1) {
        const row = this.rows[at];
        const distance = (this.x[row] - px) ** 2 + (this.y[row] - py) ** 2;
        if (distance <= least) [best, least] = [row, distance];
      }
    });
    return best;
  }

  /** Rows inside a polygon [[x, y], …], by the even-odd rule. */
  inside(polygon) {
    const xs = polygon.map(([px]) => px);
    const ys = polygon.map(([, py]) => py);
    return this.within(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)).filter((row) => {
      let odd = false;
      for (let at = 0, before = polygon.length - 1; at < polygon.length; before = at, at += 1) {
        const [ax, ay] = polygon[at];
        const [bx, by] = polygon[before];
        const crosses = ay > this.y[row] !== by > this.y[row];
        if (crosses && this.x[row] < ((bx - ax) * (this.y[row] - ay)) / (by - ay) + ax) odd = !odd;
      }
      return odd;
    });
  }
}
