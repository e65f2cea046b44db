// The canvas: where one looks, how one gets about, what is under the pointer, and the lasso.
import { el } from "../core/dom.js";
import { Raster } from "./raster.js";
import { Thumbnails } from "./thumbs.js";

const CLOSEST = 4000;
const STEP = 0.16;
const NEAR_PX = 12;

/**
 * on: {moved(view), hover(row, x, y), open(row), lasso(rows, add)}. Draws once per frame at most, and only when
 * something has changed.
 */
export class MapView {
  constructor({ collection, points, cells, on }) {
    Object.assign(this, { points, cells, on });
    this.canvas = el("canvas", {
      class: "map-canvas", tabindex: 0, role: "application", "aria-roledescription": "map",
      "aria-label": "Map of the collection. Arrows move, plus and minus zoom, Enter opens the image in the middle.",
    });
    this.cross = el("div", { class: "map-cross", "aria-hidden": "true" });
    this.line = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.line.setAttribute("class", "map-lasso");
    this.line.setAttribute("aria-hidden", "true");
    this.path = document.createElementNS("http://www.w3.org/2000/svg", "polygon");
    this.line.append(this.path);
    this.element = el("div", { class: "map-area" }, this.canvas, this.line, this.cross);
    this.raster = new Raster(this.canvas, points, cells);
    this.thumbnails = new Thumbnails(collection, points, cells, () => this.redraw());
    this.look = { colours: new Uint32Array(points.count), picked: null, background: 0xffffffff };
    this.view = { x: 0.5, y: 0.5, zoom: 1 };
    this.drawn = [];
    this.pointers = new Map();
    this.lassoing = false;
    new ResizeObserver(() => this.#resized()).observe(this.element);
    this.#listen();
  }

  /** CSS pixels per unit of the map. */
  get scale() {
    return this.fit * this.view.zoom;
  }

  get fit() {
    return 0.92 * Math.min(this.element.clientWidth || 1, this.element.clientHeight || 1);
  }

  set(changes) {
    const { x, y, zoom } = { ...this.view, ...changes };
    this.view = {
      x: Math.min(1.2, Math.max(-0.2, x)),
      y: Math.min(1.2, Math.max(-0.2, y)),
      zoom: Math.min(CLOSEST, Math.max(0.5, zoom)),
    };
    this.on.hover(-1);
    this.on.moved(this.view);
    this.redraw();
  }

  pan(dx, dy) {
    this.set({ x: this.view.x + dx / this.scale, y: this.view.y + dy / this.scale });
  }

  /** Zooms about a place of the canvas, in CSS pixels; by default its middle. */
  zoomBy(factor, px = this.element.clientWidth / 2, py = this.element.clientHeight / 2) {
    const [ax, ay] = this.place(px, py);
    const zoom = Math.min(CLOSEST, Math.max(0.5, this.view.zoom * factor));
    const scale = this.fit * zoom;
    this.set({
      zoom,
      x: ax - (px - this.element.clientWidth / 2) / scale,
      y: ay - (py - this.element.clientHeight / 2) / scale,
    });
  }

  /** All of these points are in view. */
  frame(rows) {
    if (!rows.length) return;
    let [left, top, right, bottom] = [1, 1, 0, 0];
    for (const row of rows) {
      left = Math.min(left, this.points.x[row]);
      right = Math.max(right, this.points.x[row]);
      top = Math.min(top, this.points.y[row]);
      bottom = Math.max(bottom, this.points.y[row]);
    }
    const zoom = Math.min(200, 0.85 / Math.max(right - left, bottom - top, 1e-4));
    this.set({ x: (left + right) / 2, y: (top + bottom) / 2, zoom });
  }

  /** CSS pixels of the canvas → a place on the map. */
  place(px, py) {
    return [
      this.view.x + (px - this.element.clientWidth / 2) / this.scale,
      this.view.y + (py - this.element.clientHeight / 2) / this.scale,
    ];
  }

  /** The image at a place of the canvas; -1 when there is none near. */
  rowAt(px, py, reach = NEAR_PX) {
    const ratio = this.ratio;
    for (const { row, box: [left, top, w, h] } of this.drawn) {
      if (px * ratio >= left && px * ratio <= left + w && py * ratio >= top && py * ratio <= top + h) return row;
    }
    return this.cells.nearest(...this.place(px, py), reach / this.scale);
  }

  /** The image nearest to the middle. */
  get middle() {
    const [w, h] = [this.element.clientWidth / 2, this.element.clientHeight / 2];
    return this.rowAt(w, h, Math.min(w, h));
  }

  get inView() {
    const [left, top] = this.place(0, 0);
    const [right, bottom] = this.place(this.element.clientWidth, this.element.clientHeight);
    return this.cells.within(left, top, right, bottom);
  }

  redraw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.#draw();
    });
  }

  #draw() {
    const { ratio } = this;
    const view = { ...this.view, scale: this.scale * ratio };
    this.raster.draw(view, this.look);
    const close = Thumbnails.shown(this.raster.seen);
    this.drawn = close ? this.thumbnails.draw(this.raster.context, view, ratio, this.look) : [];
  }

  #resized() {
    this.ratio = Math.min(2, window.devicePixelRatio || 1);
    this.canvas.width = Math.round(this.element.clientWidth * this.ratio);
    this.canvas.height = Math.round(this.element.clientHeight * this.ratio);
    this.redraw();
  }

  // -------------------------------------------------------------------- pointer

  #listen() {
    const { canvas } = this;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 30 : 1;
      this.zoomBy(Math.exp(-event.deltaY * lines * 0.0022), ...at(event));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button > 0) return;
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, at(event));
      this.pressed = at(event);
      this.travelled = 0;
      this.trail = (this.lassoing || event.shiftKey) && this.pointers.size === 1 ? [at(event)] : null;
    });
    canvas.addEventListener("pointermove", (event) => {
      const now = at(event);
      if (!this.pointers.has(event.pointerId)) {
        this.on.hover(this.rowAt(...now), ...now);
        return;
      }
      this.#dragged(event.pointerId, now);
    });
    const up = (event) => {
      if (!this.pointers.delete(event.pointerId)) return;
      if (this.trail && event.type === "pointerup") this.#closed(event.ctrlKey || event.metaKey);
      else if (this.travelled < 5 && event.type === "pointerup") {
        const row = this.rowAt(...this.pressed);
        if (row >= 0) this.on.open(row);
      }
      this.trail = null;
      this.path.removeAttribute("points");
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("pointerleave", () => this.on.hover(-1));
    canvas.addEventListener("dblclick", (event) => this.zoomBy(2, ...at(event)));
  }

  #dragged(id, now) {
    const before = this.pointers.get(id);
    this.travelled += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (this.trail) {
      this.trail.push(now);
      this.path.setAttribute("points", this.trail.map((each) => each.join(",")).join(" "));
    } else if (this.pointers.size === 2) {
      const [other] = [...this.pointers].filter(([each]) => each !== id).map(([, place]) => place);
      const apart = (from) => Math.hypot(from[0] - other[0], from[1] - other[1]);
      this.zoomBy(apart(now) / Math.max(1, apart(before)), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else {
      this.pan(before[0] - now[0], before[1] - now[1]);
    }
    this.pointers.set(id, now);
  }

  #closed(add) {
    if (this.trail.length < 3) return;
    this.on.lasso(this.cells.inside(this.trail.map((each) => this.place(...each))), add);
  }

  /** Keys while the canvas has the focus. */
  keys() {
    const step = () => STEP * Math.min(this.element.clientWidth, this.element.clientHeight);
    return {
      ArrowLeft: () => this.pan(-step(), 0),
      ArrowRight: () => this.pan(step(), 0),
      ArrowUp: () => this.pan(0, -step()),
      ArrowDown: () => this.pan(0, step()),
      "+": () => this.zoomBy(1.5),
      "=": () => this.zoomBy(1.5),
      "-": () => this.zoomBy(1 / 1.5),
      0: () => this.set({ x: 0.5, y: 0.5, zoom: 1 }),
      Enter: () => this.middle >= 0 && this.on.open(this.middle),
    };
  }
}
