// Clusters as cards: a cover with three more images, the name, how many, and what is known of them.
import { thumbnailUrl } from "../core/api.js";
import { el, replace } from "../core/dom.js";
import { plural } from "../core/format.js";
import { icon } from "../core/icons.js";
import { onKeys } from "../core/keys.js";
import { factsText } from "./data.js";

/**
 * A grid of cards; one of them is the current one. items: clusters, or groups of them.
 *
 * on: {href(item), open(item), rename(item), chosen(numbers)}; chosen: those that are to be merged.
 */
export class Cards {
  constructor({ collection, mayWrite, on }) {
    Object.assign(this, { collection, mayWrite, on });
    this.items = [];
    this.current = 0;
    this.chosen = new Set();
    this.element = el("ul", { class: "cards", "aria-label": "Clusters" });
    const item = (run) => () => (this.items[this.current] ? run(this.items[this.current]) : false);
    onKeys(
      {
        ArrowRight: () => this.#step(1),
        ArrowLeft: () => this.#step(-1),
        ArrowDown: () => this.#step(this.#columns()),
        ArrowUp: () => this.#step(-this.#columns()),
        Home: () => this.focusAt(0),
        End: () => this.focusAt(this.items.length - 1),
        e: item((each) => this.mayWrite && !each.clusters && this.on.rename(each)),
        x: item((each) => this.mayWrite && !each.clusters && this.choose(each.number)),
      },
      { within: this.element },
    );
  }

  set(items) {
    this.items = items;
    this.chosen.clear();
    this.current = 0;
    replace(this.element, items.map((item, at) => this.#card(item, at)));
    this.on.chosen([]);
  }

  focusAt(index) {
    const link = this.element.querySelectorAll(".card > a")[index];
    if (!link) return false;
    link.focus();
    return true;
  }

  /** The cluster is among those to be merged, or no longer. */
  choose(number) {
    if (!this.chosen.delete(number)) this.chosen.add(number);
    const card = this.element.querySelector(`[data-number="${number}"]`);
    card.classList.toggle("chosen", this.chosen.has(number));
    card.querySelector("input").checked = this.chosen.has(number);
    this.on.chosen([...this.chosen]);
  }

  #columns() {
    return getComputedStyle(this.element).gridTemplateColumns.split(" ").length;
  }

  #step(by) {
    const next = this.current + by;
    return next >= 0 && next < this.items.length ? this.focusAt(next) : true;
  }

  #card(item, at) {
    const group = Boolean(item.clusters);
    const size = group ? item.images : item.size;
    const covers = group ? item.covers.filter(Boolean).slice(0, 4) : [item.cover, ...item.typical.filter(({ id }) => id !== item.cover?.id)].filter(Boolean).slice(0, 4);
    const link = el(
      "a",
      {
        href: this.on.href(item), class: `covers of-${Math.min(4, covers.length)}`, tabindex: at ? -1 : 0,
        "aria-label": `${item.name}, ${plural(size, "image")}`,
        onclick: (event) => {
          if (event.metaKey || event.ctrlKey || event.shiftKey) return;
          event.preventDefault();
          this.on.open(item);
        },
        onfocus: () => this.#focused(at),
      },
      covers.map(({ id }, place) => el("img", { src: thumbnailUrl(this.collection, id, place ? 110 : 240), alt: "", loading: at > 15 ? "lazy" : "eager", decoding: "async" })),
      covers.length ? null : icon("image"),
    );
    const facts = group ? plural(item.clusters.length, "cluster") : factsText(item.facts);
    return el(
      "li",
      { class: "card", data: { number: item.number } },
      link,
      el("div", { class: "card-line" },
        el("h2", { title: item.name }, item.name),
        this.mayWrite && !group
          ? [
              el("button", { class: "button quiet icon small", type: "button", tabindex: -1, "aria-label": `Rename ${item.name}`, title: "Rename (E)", onclick: () => this.on.rename(item) }, icon("tag")),
              el("input", { type: "checkbox", tabindex: -1, "aria-label": `Choose ${item.name} for merging`, title: "Choose for merging (X)", onchange: () => this.choose(item.number) }),
            ]
          : null),
      el("p", { class: "card-facts" }, plural(size, "image"), group ? ` · ${facts}` : ` · coherence ${item.coherence.toFixed(2)}`),
      group ? null : el("p", { class: "card-facts", title: facts }, facts),
    );
  }

  #focused(at) {
    const links = this.element.querySelectorAll(".card > a");
    if (links[this.current]) links[this.current].tabIndex = -1;
    this.current = at;
    links[at].tabIndex = 0;
  }
}
