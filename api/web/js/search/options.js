// How the answer is ordered and cut: re-rankers, the chance of a false match, the encoder.
import { append, el, replace } from "../core/dom.js";
import { menu } from "../core/menu.js";
import { go } from "../core/url.js";
import { FRESH, parseWords } from "./question.js";

/** Short names for people; the API's titles stand beneath. */
const RERANKERS = {
  qe: ["Broaden", "asks again with the mean of the best answers"],
  dba: ["Smooth", "compares each with its neighbours' mean"],
  kreciprocal: ["Mutual neighbours", "prefers images that would find this one"],
  diffusion: ["Follow the neighbourhood", "likeness flows from neighbour to neighbour"],
  patches: ["The very same thing", "compares piece by piece; takes longer, needs a picture"],
  mmr: ["Variety", "no two of the same in a row"],
};

const CUTS = [
  [null, "Matches: all", "however far they are"],
  [0.1, "Matches: likely", "one in ten empty searches would show something"],
  [0.01, "Matches: sure", "one in a hundred would"],
  [0.001, "Matches: very sure", "one in a thousand would"],
];

/** What a re-ranker is called here. */
export function rerankerName(name) {
  return RERANKERS[name]?.[0] ?? name;
}

/** The menus; `show(question)` draws them for a question. */
export class Options {
  /** rerankers: as GET /v1/models lists them. spaces: encoders of the collection. */
  constructor(rerankers, spaces) {
    this.rerankers = rerankers;
    this.spaces = spaces;
    this.order = menu("Order", [], { id: "order" });
    this.cut = menu("Matches: all", [], { id: "cut" });
    this.encoder = spaces.length > 1 ? menu("Encoder", [], { id: "encoder", align: "end" }) : null;
    this.element = el(
      "div",
      { class: "options" },
      this.order.element,
      this.cut.element,
      this.encoder?.element,
    );
  }

  show(question, asking) {
    this.element.hidden = !asking;
    const byPictures = parseWords(question.words).text === "" && !question.less.length;
    this.cut.element.hidden = !byPictures && question.maxFalse === null;
    this.#showOrder(question);
    this.#showCut(question);
    if (this.encoder) this.#showEncoder(question);
  }

  #showOrder(question) {
    const chosen = question.rerank;
    const names = chosen.map(rerankerName);
    this.order.label(names.length ? `Order: ${names.join(", then ")}` : "Order: nearest first", names.length > 0);
    const set = (rerank) => go({ rerank: rerank.join(","), ...FRESH });
    const boxes = this.rerankers.map(({ name, title, paper }) => {
      const place = chosen.indexOf(name);
      const [short, means] = RERANKERS[name] ?? [name, title];
      const box = el("input", {
        type: "checkbox", name: "rerank", value: name, checked: place >= 0,
        disabled: place < 0 && name === "patches" && !question.picture && !question.more.length,
        onchange: (event) =>
          set(event.target.checked ? [...chosen, name] : chosen.filter((each) => each !== name)),
      });
      return el(
        "label",
        { class: "choice", title: paper },
        box,
        el("span", {}, el("strong", {}, short), el("small", {}, `${means} · ${name}`)),
        chosen.length > 1 && place >= 0 ? el("span", { class: "place" }, String(place + 1)) : null,
      );
    });
    this.#content(
      this.order,
      el("p", { class: "menu-title" }, "Re-rank the best 200, in the order ticked"),
      boxes,
      chosen.length
        ? el("button", { class: "button small", type: "button", onclick: () => set([]) }, "Nearest first")
        : null,
    );
  }

  #showCut(question) {
    const now = CUTS.find(([value]) => value === question.maxFalse);
    this.cut.label(now ? now[1] : `Matches: under ${question.maxFalse}`, question.maxFalse !== null);
    const choices = CUTS.map(([value, short, means]) =>
      el(
        "label",
        { class: "choice" },
        el("input", {
          type: "radio", name: "cut", value: value ?? "", checked: value === question.maxFalse,
          onchange: () => go({ sure: value, ...FRESH }),
        }),
        el("span", {}, el("strong", {}, capital(short)), el("small", {}, means)),
      ),
    );
    this.#content(
      this.cut,
      el("p", { class: "menu-title" }, "Leave out what might be there by chance"),
      choices,
    );
  }

  #showEncoder(question) {
    this.encoder.label(question.space ? `Encoder: ${question.space}` : "Encoder: the fitting one", Boolean(question.space));
    const choice = (value, text) =>
      el(
        "label",
        { class: "choice" },
        el("input", {
          type: "radio", name: "space", value: value ?? "", checked: value === question.space,
          onchange: () => go({ space: value, ...FRESH }),
        }),
        el("span", {}, el("strong", {}, text)),
      );
    this.#content(
      this.encoder,
      choice(null, "The fitting one, or all together"),
      this.spaces.map(({ encoder }) => choice(encoder, encoder)),
    );
  }

  /** Drawn anew without losing the focus of who is choosing. */
  #content(where, ...nodes) {
    const focused = where.panel.contains(document.activeElement) ? document.activeElement : null;
    replace(where.panel, []);
    append(where.panel, nodes);
    if (!focused) return;
    const same = [...where.panel.querySelectorAll("input")].find(
      (each) => each.name === focused.name && each.value === focused.value,
    );
    (same ?? where.button).focus();
  }
}

/** "Matches: sure" → "Sure" */
function capital(label) {
  const word = label.replace("Matches: ", "");
  return word[0].toUpperCase() + word.slice(1);
}
