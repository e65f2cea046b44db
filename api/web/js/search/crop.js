// "Only this part of the picture": a rectangle, drawn with the mouse, moved with keys, or typed.
import { append, el } from "../core/dom.js";
import { icon } from "../core/icons.js";

const SMALLEST = 0.02;
const STEP = 0.01;
const WHOLE = [0, 0, 1, 1];

/**
 * Asks for the part of a picture that counts; resolves to [left, top, right, bottom] in 0..1, to
 * null for the whole of it, or to undefined when the person leaves it as it was.
 */
export function chooseCrop(src, crop) {
  return new Promise((resolve) => new CropDialog(src, crop, resolve));
}

class CropDialog {
  constructor(src, crop, resolve) {
    this.box = crop ?? [...WHOLE];
    this.chosen = undefined;
    this.frame = el(
      "div",
      {
        class: "crop-box", tabindex: 0, role: "group", id: "crop-box",
        "aria-label": "The part that counts. Arrow keys move it, with Shift they resize it.",
      },
      ["nw", "ne", "sw", "se"].map((corner) => el("span", { class: `crop-handle ${corner}`, data: { corner } })),
    );
    this.area = el(
      "div",
      { class: "crop-area" },
      src
        ? el("img", { src, alt: "The query picture", draggable: "false" })
        : el("div", { class: "crop-blank" }, "This picture cannot be shown; its part can be given in numbers."),
      this.frame,
    );
    this.numbers = ["Left", "Top", "Right", "Bottom"].map((label, at) => {
      const input = el("input", {
        class: "field", type: "number", min: 0, max: 100, step: 1, name: label.toLowerCase(),
        oninput: () => this.#typed(at, input),
      });
      return input;
    });
    const fields = ["Left", "Top", "Right", "Bottom"].map((label, at) =>
      el("label", { class: "stacked" }, `${label}, %`, this.numbers[at]),
    );
    const button = (text, run, kind = "") =>
      el("button", { class: `button ${kind}`, type: "button", onclick: run }, text);
    this.dialog = el(
      "dialog",
      { class: "crop-dialog", "aria-labelledby": "crop-title" },
      el(
        "form",
        {
          method: "dialog",
          onsubmit: (event) => {
            event.preventDefault();
            this.#finish(this.#isWhole() ? null : this.box);
          },
        },
        el("h2", { id: "crop-title" }, "Search with a part of the picture"),
        el("p", {}, "Drag a rectangle over what counts."),
        this.area,
        el("div", { class: "crop-numbers" }, fields),
        el(
          "div",
          { class: "dialog-buttons" },
          button("Whole picture", () => this.#finish(null)),
          button("Cancel", () => this.dialog.close()),
          el("button", { class: "button primary", type: "submit" }, icon("search"), "Search this part"),
        ),
      ),
    );
    this.dialog.addEventListener("close", () => {
      this.dialog.remove();
      resolve(this.chosen);
    });
    this.area.addEventListener("pointerdown", (event) => this.#pressed(event));
    this.frame.addEventListener("keydown", (event) => this.#key(event));
    append(document.body, this.dialog);
    this.#draw();
    this.dialog.showModal();
    this.frame.focus();
  }

  #finish(chosen) {
    this.chosen = chosen;
    this.dialog.close();
  }

  #isWhole() {
    return this.box[0] <= 0.001 && this.box[1] <= 0.001 && this.box[2] >= 0.999 && this.box[3] >= 0.999;
  }

  #draw() {
    const [left, top, right, bottom] = this.box;
    Object.assign(this.frame.style, {
      left: `${left * 100}%`, top: `${top * 100}%`,
      width: `${(right - left) * 100}%`, height: `${(bottom - top) * 100}%`,
    });
    this.numbers.forEach((input, at) => {
      if (input !== document.activeElement) input.value = String(Math.round(this.box[at] * 100));
    });
  }

  #set([left, top, right, bottom]) {
    this.box = [
      clamp(Math.min(left, right - SMALLEST), 0, 1 - SMALLEST),
      clamp(Math.min(top, bottom - SMALLEST), 0, 1 - SMALLEST),
      clamp(Math.max(right, left + SMALLEST), SMALLEST, 1),
      clamp(Math.max(bottom, top + SMALLEST), SMALLEST, 1),
    ];
    this.#draw();
  }

  #typed(at, input) {
    if (input.value === "" || Number.isNaN(Number(input.value))) return;
    const next = [...this.box];
    next[at] = clamp(Number(input.value) / 100, 0, 1);
    this.#set(next);
  }

  #key(event) {
    const [dx, dy] = {
      ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP],
    }[event.key] ?? [0, 0];
    if (event.key === "Enter") {
      event.preventDefault();
      this.#finish(this.#isWhole() ? null : this.box);
    }
    if (!dx && !dy) return;
    event.preventDefault();
    const [left, top, right, bottom] = this.box;
    if (event.shiftKey) this.#set([left, top, right + dx, bottom + dy]);
    else this.#move(dx, dy);
  }

  /** Moved as a whole, as far as the picture goes. */
  #move(dx, dy, from = this.box) {
    const [left, top, right, bottom] = from;
    const x = clamp(dx, -left, 1 - right);
    const y = clamp(dy, -top, 1 - bottom);
    this.#set([left + x, top + y, right + x, bottom + y]);
  }

  #pressed(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.frame.focus();
    const bounds = this.area.getBoundingClientRect();
    const at = (moved) => [
      clamp((moved.clientX - bounds.left) / bounds.width, 0, 1),
      clamp((moved.clientY - bounds.top) / bounds.height, 0, 1),
    ];
    const [x, y] = at(event);
    const before = [...this.box];
    const corner = event.target.dataset.corner;
    const moving = !corner && event.target === this.frame && !this.#isWhole();
    const [left, top, right, bottom] = before;
    const fixed = corner
      ? [corner.includes("w") ? right : left, corner.includes("n") ? bottom : top]
      : [x, y];
    let dragged = false;
    const move = (moved) => {
      const [toX, toY] = at(moved);
      dragged ||= Math.abs(toX - x) + Math.abs(toY - y) > 0.01;
      if (!dragged) return;
      if (moving) this.#move(toX - x, toY - y, before);
      else this.#set([Math.min(fixed[0], toX), Math.min(fixed[1], toY), Math.max(fixed[0], toX), Math.max(fixed[1], toY)]);
    };
    const stop = () => {
      this.area.removeEventListener("pointermove", move);
      this.area.removeEventListener("pointerup", stop);
      this.area.removeEventListener("pointercancel", stop);
    };
    this.area.setPointerCapture(event.pointerId);
    this.area.addEventListener("pointermove", move);
    this.area.addEventListener("pointerup", stop);
    this.area.addEventListener("pointercancel", stop);
  }
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
