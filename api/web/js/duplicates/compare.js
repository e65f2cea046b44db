// Two copies laid on each other: side by side, overlaid, blinking, swiped, or what differs.
import { thumbnailUrl } from "../core/api.js";
import { append, el, replace, svg } from "../core/dom.js";
import { bytes, fileName, folderName, when } from "../core/format.js";
import { icon } from "../core/icons.js";
import { onKeys } from "../core/keys.js";
import { RELATION_NAMES, proofText } from "./data.js";

export const MODES = ["side", "overlay", "blink", "swipe", "difference"];
const MODE_NAMES = {
  side: "Side by side", overlay: "Overlay", blink: "Blink", swipe: "Swipe", difference: "Difference",
};
const IDENTITY = [[1, 0, 0], [0, 1, 0]];
const SIDE = 512;
const BLINK_MS = 600;

/** [2 × 3] of the first frame to the second → of the second to the first. */
export function inverse([[a, b, c], [d, e, f]]) {
  const det = a * e - b * d;
  return [
    [e / det, -b / det, (b * f - c * e) / det],
    [-d / det, a / det, (c * d - a * f) / det],
  ];
}

/** Where the corners of a frame lie in another, as points of an SVG polygon in 0..1. */
export function corners([[a, b, c], [d, e, f]]) {
  return [[0, 0], [1, 0], [1, 1], [0, 1]].map(([x, y]) => `${a * x + b * y + c},${d * x + e * y + f}`).join(" ");
}

/** The CSS transform that lays a picture, stretched over a box of w × h, where the matrix says. */
export function laid([[a, b, c], [d, e, f]], w, h) {
  return `matrix(${a}, ${(d * h) / w}, ${(b * w) / h}, ${e}, ${c * w}, ${f * h})`;
}

/**
 * The dialog that compares a group's images with its first.
 *
 * on: {judge(group, member, verdict), apart(group, member), mode(name), with(member), closed(group)}.
 */
export class Comparison {
  constructor({ on, mayWrite }) {
    this.on = on;
    this.mayWrite = mayWrite;
    this.mode = "side";
    this.share = 0.5;
    this.second = false;
    this.stage = el("div", { class: "compare-stage" });
    this.tools = el("div", { class: "choices", role: "group", "aria-label": "How to compare" });
    this.slider = el("input", { type: "range", min: 0, max: 100, value: 50, class: "compare-slider" });
    this.slider.addEventListener("input", () => {
      this.share = this.slider.value / 100;
      this.#apply();
    });
    this.others = el("ul", { class: "compare-others", "aria-label": "Copies in this group" });
    this.facts = el("div", { class: "compare-facts" });
    this.title = el("h2", { id: "compare-title", tabindex: -1 });
    this.dialog = el(
      "dialog",
      { class: "compare", "aria-labelledby": "compare-title" },
      el("div", { class: "compare-head" }, this.title, this.tools, this.slider,
        el("button", { class: "button quiet icon", type: "button", "aria-label": "Close", onclick: () => this.dialog.close() }, icon("close"))),
      this.stage,
      el("div", { class: "compare-side" }, this.others, this.facts),
    );
    this.dialog.addEventListener("close", () => {
      this.#blink(false);
      this.on.closed(this.group);
    });
    new ResizeObserver(() => this.#draw()).observe(this.stage);
    document.body.append(this.dialog);
    this.#listen();
  }

  get open() {
    return this.dialog.open;
  }

  show(group, member, mode = this.mode) {
    this.group = group;
    this.member = group.members.includes(member) && member !== group.members[0] ? member : group.members[1];
    this.mode = MODES.includes(mode) ? mode : "side";
    if (!this.dialog.open) {
      this.dialog.showModal();
      this.title.focus();
    }
    this.#draw();
  }

  /** The group has changed: the same pair is shown again, if it is still there. */
  update(group) {
    if (!this.dialog.open || this.group?.id !== group.id) return;
    if (group.members.length < 2) {
      this.dialog.close();
      return;
    }
    const same = group.members.find(({ image }) => image.id === this.member.image.id);
    this.show(group, same ?? group.members[1]);
  }

  close() {
    if (this.dialog.open) this.dialog.close();
  }

  #listen() {
    const judge = (verdict) => () => this.mayWrite && !this.member.protected && this.on.judge(this.group, this.member, verdict);
    const modes = Object.fromEntries(MODES.map((mode, at) => [String(at + 1), () => this.on.mode(mode)]));
    onKeys(
      {
        ...modes,
        ArrowRight: () => this.#step(1),
        ArrowLeft: () => this.#step(-1),
        k: judge("keep"),
        r: judge("remove"),
        Delete: judge("remove"),
        u: judge(null),
        n: () => this.mayWrite && this.on.apart(this.group, this.member),
        " ": () => this.#flip(),
        "+": () => this.#slide(0.05),
        "-": () => this.#slide(-0.05),
      },
      { within: this.dialog },
    );
  }

  #step(by) {
    if (document.activeElement === this.slider) return false;
    const others = this.group.members.slice(1);
    const next = others.indexOf(this.member) + by;
    if (next < 0 || next >= others.length) return true;
    this.on.with(others[next]);
    return true;
  }

  #slide(by) {
    if (!["overlay", "swipe"].includes(this.mode)) return false;
    this.share = Math.min(1, Math.max(0, this.share + by));
    this.slider.value = Math.round(this.share * 100);
    this.#apply();
    return true;
  }

  /** Space: the other picture, by hand. */
  #flip() {
    if (document.activeElement instanceof HTMLButtonElement && document.activeElement !== this.title) return false;
    if (this.mode !== "blink") return false;
    this.#blink(false);
    this.second = !this.second;
    this.#apply();
    return true;
  }

  #blink(on) {
    clearInterval(this.timer);
    this.timer = null;
    if (!on || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    this.timer = setInterval(() => {
      this.second = !this.second;
      this.#apply();
    }, BLINK_MS);
  }

  #draw() {
    if (!this.dialog.open) return;
    const { group, member, mode } = this;
    const first = group.members[0];
    replace(this.title, el("span", { class: `relation ${member.relation}` }, RELATION_NAMES[member.relation]), proofText(member).split(" · ").slice(1).join(" · "));
    replace(this.tools, MODES.map((name, at) => el("button", {
      class: "button small", type: "button", "aria-pressed": String(name === mode), title: `${MODE_NAMES[name]} (${at + 1})`,
      onclick: () => this.on.mode(name),
    }, MODE_NAMES[name])));
    this.slider.hidden = !["overlay", "swipe"].includes(mode);
    this.slider.setAttribute("aria-label", mode === "swipe" ? "Where the pictures meet" : "How much of the copy shows");
    const transform = member.evidence?.transform ?? IDENTITY;
    replace(this.stage, mode === "side" ? this.#side(first, member, transform) : this.#stack(first, member, transform));
    this.#others();
    replace(this.facts, factsTable(first.image, member.image), this.#verdicts());
    this.#blink(mode === "blink");
    this.#apply();
  }

  #side(first, member, transform) {
    const box = this.stage.getBoundingClientRect();
    const narrow = box.width < 640;
    const w = narrow ? box.width - 24 : (box.width - 60) / 2;
    const h = narrow ? (box.height - 90) / 2 : box.height - 56;
    const outlined = member.evidence !== null;
    return el("div", { class: "side" },
      this.#figure(first, fitted(first.image, w, h), outlined ? inverse(transform) : null, "Kept first"),
      this.#figure(member, fitted(member.image, w, h), outlined ? transform : null, "The copy"));
  }

  /** frame: how the other picture's frame lies in this one. */
  #figure({ image, collection }, { w, h }, frame, what) {
    return el("figure", {},
      el("div", { class: "frame-of", style: { width: `${w}px`, height: `${h}px` } },
        this.#picture(image, collection, `${what}: ${fileName(image.path)}`),
        frame ? outline(frame) : null),
      el("figcaption", { title: image.path }, `${what} · ${fileName(image.path)}`));
  }

  #stack(first, member, transform) {
    const box = this.stage.getBoundingClientRect();
    const { w, h } = fitted(first.image, box.width - 32, box.height - 32);
    const back = inverse(transform);
    const copy = this.#picture(member.image, member.collection, `The copy: ${fileName(member.image.path)}`);
    copy.style.transform = laid(back, w, h);
    this.top = el("div", { class: "layer" }, copy);
    this.edge = el("div", { class: "swipe-edge", hidden: this.mode !== "swipe" });
    const stack = el("div", { class: `stack ${this.mode}`, style: { width: `${w}px`, height: `${h}px` } },
      this.#picture(first.image, first.collection, `Kept first: ${fileName(first.image.path)}`),
      this.top, this.edge, member.evidence ? outline(back) : null);
    if (this.mode === "swipe") this.#swiped(stack);
    return stack;
  }

  #picture(image, collection, alt) {
    return el("img", { src: thumbnailUrl(collection, image.id, SIDE), alt, decoding: "async", draggable: "false" });
  }

  #swiped(stack) {
    const move = (event) => {
      const box = stack.getBoundingClientRect();
      this.share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      this.slider.value = Math.round(this.share * 100);
      this.#apply();
    };
    stack.addEventListener("pointerdown", (event) => {
      stack.setPointerCapture(event.pointerId);
      move(event);
    });
    stack.addEventListener("pointermove", (event) => {
      if (event.buttons) move(event);
    });
  }

  /** What slider and blinking change, without drawing anew. */
  #apply() {
    if (!this.top || this.mode === "side") return;
    const { style } = this.top;
    style.opacity = this.mode === "overlay" ? this.share : this.mode === "blink" ? Number(this.second) : 1;
    style.clipPath = this.mode === "swipe" ? `inset(0 0 0 ${this.share * 100}%)` : "";
    this.edge.style.left = `${this.share * 100}%`;
  }

  #others() {
    const others = this.group.members.slice(1);
    this.others.hidden = others.length < 2;
    replace(this.others, others.map((each) => {
      const chosen = each === this.member;
      return el("li", {}, el("button", {
        type: "button", "aria-current": chosen ? "true" : null, "aria-label": `${fileName(each.image.path)}, ${proofText(each)}`,
        class: each.verdict ?? "", title: each.image.path, onclick: () => this.on.with(each),
      }, el("img", { src: thumbnailUrl(each.collection, each.image.id, 64), alt: "", width: 64, height: 48, loading: "lazy" })));
    }));
  }

  #verdicts() {
    if (!this.mayWrite) return null;
    const { group, member } = this;
    if (member.protected) return el("p", { class: "copy-proof" }, "This image is protected: it stays.");
    const button = (verdict, label, key) => el("button", {
      class: `button small verdict ${verdict}`, type: "button", "aria-pressed": String(member.verdict === verdict),
      onclick: () => this.on.judge(group, member, member.verdict === verdict ? null : verdict),
    }, icon(verdict === "keep" ? "check" : "trash"), label, el("kbd", {}, key));
    return el("div", { class: "verdicts" },
      button("keep", "Keep", "K"),
      button("remove", "Remove", "R"),
      el("button", { class: "button small", type: "button", onclick: () => this.on.apart(group, member) },
        icon("close"), "Not a copy", el("kbd", {}, "N")));
  }
}

function fitted(image, w, h) {
  const ratio = image.width && image.height ? image.width / image.height : 4 / 3;
  const width = Math.max(40, Math.min(w, h * ratio));
  return { w: Math.round(width), h: Math.round(width / ratio) };
}

function outline(frame) {
  const points = corners(frame);
  return svg("svg", { class: "matched", viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("polygon", { points, class: "under" }), svg("polygon", { points, class: "line" }));
}

function factsTable(first, second) {
  const place = ({ latitude, longitude }) => (latitude === null ? "" : `${latitude.toFixed(4)}, ${longitude.toFixed(4)}`);
  const rows = [
    ["Name", (image) => fileName(image.path)],
    ["Folder", (image) => folderName(image.path)],
    ["Pixels", (image) => (image.width ? `${image.width} × ${image.height}` : "")],
    ["Size", (image) => (image.size === null ? "" : bytes(image.size))],
    ["Format", (image) => (image.format ?? "").toUpperCase()],
    ["Taken", (image) => (image.taken_at ? when(image.taken_at) : "")],
    ["Camera", (image) => [image.camera_make, image.camera_model].filter(Boolean).join(" ")],
    ["Place", place],
    ["Tags", (image) => image.tags.join(", ")],
  ];
  const body = rows
    .map(([name, read]) => [name, read(first), read(second)])
    .filter(([, one, other]) => one || other)
    .map(([name, one, other]) => el("tr", { class: one === other ? "" : "differs" },
      el("th", { scope: "row" }, name), el("td", {}, one || "–"), el("td", {}, other || "–")));
  return append(el("table", {}), el("thead", {}, el("tr", {}, el("td", {}), el("th", { scope: "col" }, "Kept first"), el("th", { scope: "col" }, "The copy"))), el("tbody", {}, body));
}
