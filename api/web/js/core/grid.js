// A justified grid: rows of equal height that fill the width, with sizes known before pictures come.
import { el } from "./dom.js";
import { icon } from "./icons.js";
import { onKeys } from "./keys.js";

const NARROWEST = 0.5;
const WIDEST = 2.6;
const GAP = 6;

/**
 * rows([{width, height}, …], 1000, 200, 6) → [{left, top, width, height}, …] and the whole height.
 *
 * Rows are filled greedily: a row ends where its height comes nearest to the target. The last row
 * keeps the target height.
 */
export function justify(sizes, available, target, gap = GAP) {
  const boxes = [];
  let row = [];
  let ratios = 0;
  let top = 0;

  const place = (height) => {
    let left = 0;
    row.forEach((ratio, at) => {
      const last = at === row.length - 1;
      const width = last && height !== target ? available - left : Math.round(ratio * height);
      boxes.push({ left, top, width, height: Math.round(height) });
      left += width + gap;
    });
    top += Math.round(height) + gap;
    row = [];
    ratios = 0;
  };

  for (const { width, height } of sizes) {
    const known = width > 0 && height > 0 ? width / height : 1;
    const ratio = Math.min(WIDEST, Math.max(NARROWEST, known));
    const before = row.length ? (available - gap * (row.length - 1)) / ratios : Infinity;
    const after = (available - gap * row.length) / (ratios + ratio);
    // Ends before this one when that comes nearer to the target.
    if (after < target && before / target < target / after && row.length) place(before);
    row.push(ratio);
    ratios += ratio;
    const now = (available - gap * (row.length - 1)) / ratios;
    if (now <= target) place(now);
  }
  if (row.length) place(Math.min(target, (available - gap * (row.length - 1)) / ratios));
  return { boxes, height: Math.max(0, top - gap) };
}

/** The height of rows that suits a width. */
export function rowHeight(width) {
  if (width < 520) return 118;
  if (width < 1000) return 168;
  return 204;
}

/**
 * A list of tiles, each a link.
 *
 * options.label: what the list is called. options.describe(item): {id, width, height, src(side), href,
 * name}; `src` gives a picture's address for the longer side of its tile. options.overlay(item): nodes
 * over the tile, or nothing. options.onOpen(item, index, event): instead of following the link.
 * options.keys: further keys, each called with (item, index). options.height(width): of rows.
 */
export class JustifiedGrid {
  constructor({ label, describe, overlay = () => null, onOpen = null, keys = {}, height = rowHeight }) {
    this.describe = describe;
    this.overlay = overlay;
    this.onOpen = onOpen;
    this.height = height;
    this.items = [];
    this.cells = [];
    this.boxes = [];
    this.current = 0;
    this.width = 0;
    this.element = el("ul", { class: "grid", "aria-label": label });
    this.observer = new ResizeObserver(() => this.layout());
    this.observer.observe(this.element);
    this.element.addEventListener("focusin", (event) => this.#focused(event));
    this.element.addEventListener("click", (event) => this.#clicked(event));
    const with_item = Object.entries(keys).map(([key, run]) => [
      key, () => this.items.length > 0 && run(this.items[this.current], this.current),
    ]);
    onKeys(
      {
        ArrowLeft: () => this.#step(-1),
        ArrowRight: () => this.#step(1),
        ArrowUp: () => this.#climb(-1),
        ArrowDown: () => this.#climb(1),
        Home: () => this.focusAt(0),
        End: () => this.focusAt(this.items.length - 1),
        ...Object.fromEntries(with_item),
      },
      { within: this.element },
    );
  }

  /** These tiles and no others. */
  set(items) {
    this.items = [];
    this.cells = [];
    this.current = 0;
    this.element.replaceChildren();
    this.append(items);
  }

  /** More tiles at the end. */
  append(items) {
    for (const item of items) {
      const index = this.items.length;
      this.items.push(item);
      const cell = this.#cell(item, index);
      this.cells.push(cell);
      this.element.append(cell.li);
    }
    this.layout(true);
  }

  /** The overlay of a tile is drawn anew; with no id, every one's. */
  refresh(id = null) {
    this.items.forEach((item, at) => {
      const { link, li, overlaid } = this.cells[at];
      if (id !== null && this.describe(item).id !== id) return;
      const nodes = [this.overlay(item)].flat().filter(Boolean);
      overlaid.forEach((node) => node.remove());
      this.cells[at].overlaid = nodes;
      li.append(...nodes);
      link.tabIndex = at === this.current ? 0 : -1;
    });
  }

  /** The tile has the focus; false when there is none of this index. */
  focusAt(index) {
    const cell = this.cells[index];
    if (!cell) return false;
    cell.link.focus({ preventScroll: true });
    cell.li.scrollIntoView({ block: "nearest" });
    return true;
  }

  indexOf(id) {
    return this.items.findIndex((item) => this.describe(item).id === id);
  }

  layout(always = false) {
    const width = this.element.clientWidth;
    if (!width || (width === this.width && !always)) return;
    this.width = width;
    const described = this.items.map((item) => this.describe(item));
    const { boxes, height } = justify(described, width, this.height(width));
    this.boxes = boxes;
    this.element.style.height = `${height}px`;
    boxes.forEach((box, at) => {
      const { li, image } = this.cells[at];
      li.style.transform = `translate(${box.left}px, ${box.top}px)`;
      li.style.width = `${box.width}px`;
      li.style.height = `${box.height}px`;
      if (!image.src) image.src = described[at].src(Math.max(box.width, box.height));
    });
  }

  #cell(item, index) {
    const { href, name, width, height } = this.describe(item);
    const image = el("img", { alt: "", loading: "lazy", decoding: "async", width, height });
    const link = el(
      "a",
      { class: "tile", href, "aria-label": name, title: name, tabindex: index ? -1 : 0, data: { index } },
      image,
    );
    image.addEventListener("load", () => link.classList.add("loaded"), { once: true });
    image.addEventListener("error", () => {
      image.remove();
      link.classList.add("broken");
      link.append(icon("image"), el("span", {}, name));
    });
    const overlaid = [this.overlay(item)].flat().filter(Boolean);
    return { li: el("li", {}, link, overlaid), link, image, overlaid };
  }

  #focused(event) {
    const link = event.target.closest("li")?.querySelector("a.tile");
    if (!link) return;
    const index = Number(link.dataset.index);
    const before = this.cells[this.current];
    if (before) before.link.tabIndex = -1;
    this.current = index;
    link.tabIndex = 0;
  }

  #clicked(event) {
    const link = event.target.closest("a.tile");
    if (!link || !this.onOpen || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    const index = Number(link.dataset.index);
    this.onOpen(this.items[index], index, event);
  }

  #step(by) {
    const next = this.current + by;
    return next >= 0 && next < this.items.length ? this.focusAt(next) : true;
  }

  /** To the next row, where its tile is nearest to the middle of this one. */
  #climb(direction) {
    const from = this.boxes[this.current];
    if (!from) return false;
    const middle = from.left + from.width / 2;
    const tops = [...new Set(this.boxes.map(({ top }) => top))];
    const top = tops[tops.indexOf(from.top) + direction];
    if (top === undefined) return false;
    let best = -1;
    let nearest = Infinity;
    this.boxes.forEach((box, at) => {
      const distance = Math.abs(box.left + box.width / 2 - middle);
      if (box.top === top && distance < nearest) [best, nearest] = [at, distance];
    });
    return this.focusAt(best);
  }
}

/** Calls `load` when the end of a list comes near; returns the element to put there. */
export function nearEnd(load, margin_px = 900) {
  return watchEnd(load, margin_px).element;
}

/**
 * The same, as {element, look()}: `look` is for when the list has changed, because an end that stays
 * near is not told otherwise.
 */
export function watchEnd(load, margin_px = 900) {
  const element = el("div", { class: "near-end", "aria-hidden": "true" });
  const observer = new IntersectionObserver(
    (entries) => {
      // Told late at times, when the list has grown meanwhile: so it is looked at once more.
      const near = element.getBoundingClientRect().top < window.innerHeight + margin_px;
      if (entries.at(-1).isIntersecting && near) load();
    },
    { rootMargin: `${margin_px}px 0px` },
  );
  observer.observe(element);
  return {
    element,
    look() {
      observer.unobserve(element);
      observer.observe(element);
    },
  };
}
