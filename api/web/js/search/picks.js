// "More of this, less of that": picks that refine the question.
import { el } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { go } from "../core/url.js";
import { FRESH, pictureParams } from "./question.js";

/** The address's changes after an image was picked as `kind` ("more" or "less"), or let go again. */
export function pickChanges(question, id, kind) {
  const other = kind === "more" ? "less" : "more";
  const has = question[kind].includes(id);
  const chosen = has ? question[kind].filter((each) => each !== id) : [...question[kind], id];
  return {
    [kind]: chosen.join(","),
    [other]: question[other].filter((each) => each !== id).join(","),
    ...FRESH,
  };
}

/** Picks an image, or lets it go. */
export function pick(question, id, kind) {
  go(pickChanges(question, id, kind));
}

/** A new question: more like this stored image. Filters stay. */
export function askLike(id) {
  go({ ...pictureParams({ kind: "stored", id }), q: null, more: null, less: null });
}

/** The small buttons over a tile. */
export function tileTools(question, image, name) {
  const tool = (kind, symbol, label, run) =>
    el(
      "button",
      {
        type: "button", tabindex: -1, class: `tool ${kind}`, title: label, "aria-label": `${label}: ${name}`,
        onclick: run,
      },
      icon(symbol),
    );
  return el(
    "div",
    { class: "tile-tools" },
    tool("like", "similar", "More like this", () => askLike(image.id)),
    tool("more", "plus", "More of this", () => pick(question(), image.id, "more")),
    tool("less", "minus", "Less of this", () => pick(question(), image.id, "less")),
  );
}
