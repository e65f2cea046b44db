// What the collection can be narrowed down by: facets, a span of time, and a filter in words.
import { get, inCollection } from "../core/api.js";
import { append, el, replace } from "../core/dom.js";
import { count, fileName } from "../core/format.js";
import { icon } from "../core/icons.js";
import { go, params } from "../core/url.js";
import { FACETS, FRESH, UNFILTERED, filterCount, whereOf } from "./question.js";

const TITLES = {
  taken: "Time", camera: "Camera", place: "Place", folder: "Folder", size: "Size", format: "Format",
  tag: "Tags",
};
const FIRST = 6;
const LISTED = 30; // The API lists no more values of a facet.
const OPEN_KEY = "likeness.filters";
const WIDE = "(width >= 1160px)";

/** The panel and its button; `show(question)` draws it, `load()` asks for the facets anew. */
export class Filters {
  constructor(collection) {
    this.collection = collection;
    this.facets = null;
    this.unfolded = new Set();
    this.counts = new Map();
    this.counted = null;
    this.problem = null;
    this.badge = el("span", { class: "badge", hidden: true });
    this.button = el(
      "button",
      {
        class: "button quiet", type: "button", id: "filters", "aria-controls": "filter-panel",
        "aria-expanded": "false", onclick: () => this.open(this.panel.hidden),
      },
      icon("filter"), "Filters", this.badge,
    );
    this.chips = el("ul", { class: "chips", "aria-label": "Filters that are set" });
    this.body = el("div", { class: "filter-body" });
    this.panel = el(
      "aside",
      { class: "filter-panel", id: "filter-panel", "aria-label": "Filters", hidden: true },
      el(
        "div",
        { class: "filter-head" },
        el("h2", {}, "Filters"),
        el(
          "button",
          {
            class: "button quiet icon small", type: "button", "aria-label": "Close the filters",
            onclick: () => {
              this.open(false);
              this.button.focus();
            },
          },
          icon("close"),
        ),
      ),
      this.body,
    );
    this.panel.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      event.preventDefault();
      this.open(false);
      this.button.focus();
    });
    this.open(matchMedia(WIDE).matches && remembered() !== "closed", { remember: false });
  }

  open(yes, { remember = true } = {}) {
    this.panel.hidden = !yes;
    this.button.setAttribute("aria-expanded", String(yes));
    document.body.classList.toggle("filters-open", yes);
    if (!remember) return;
    if (yes) this.panel.querySelector("input, button")?.focus({ preventScroll: true });
    try {
      localStorage.setItem(OPEN_KEY, yes ? "open" : "closed");
    } catch {
      // Storage is switched off: it holds for this page.
    }
  }

  /** The facets are those that the collection has now. */
  async load() {
    try {
      this.facets = (await get(inCollection(this.collection, "facets"))).facets;
      this.problem = null;
    } catch (problem) {
      this.problem = problem;
    }
    this.counted = null;
    if (this.question) this.show(this.question);
  }

  show(question) {
    this.question = question;
    this.#draw();
    void this.#recount();
  }

  /**
   * What each value would leave: counted with the filters of all other facets, because values of one
   * facet are alternatives.
   */
  async #recount() {
    const { question } = this;
    const groups = Map.groupBy(FACETS, (name) =>
      whereOf({ ...question, facets: { ...question.facets, [name]: [] } }),
    );
    const key = JSON.stringify([...groups]);
    if (key === this.counted) return;
    this.counted = key;
    const counts = new Map();
    try {
      for (const [where, names] of groups) {
        if (where === null) continue;
        const { facets } = await get(inCollection(this.collection, "facets"), { where });
        for (const name of names) {
          const values = facets.find((facet) => facet.name === name)?.values ?? [];
          counts.set(name, new Map(values.map((value) => [value.where, value.count])));
        }
      }
    } catch {
      return; // The search meets the same problem, and says it.
    }
    if (key !== this.counted) return;
    this.counts = counts;
    this.#draw();
  }

  #draw() {
    const { question } = this;
    const set = filterCount(question);
    this.badge.hidden = set === 0;
    this.badge.textContent = String(set);
    this.#showChips(question);
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    const scrolled = this.panel.scrollTop;
    if (!this.facets && !this.problem) return; // Nothing is shown that would move when they come.
    replace(
      this.body,
      this.problem ? el("p", { class: "inline-problem" }, this.problem.detail) : null,
      FACETS.map((name) => this.#facet(name, question.facets[name])),
      this.#typed(question),
    );
    this.panel.scrollTop = scrolled;
    if (focused?.value !== undefined) {
      const same = [...this.body.querySelectorAll("input")].find(
        (each) => each.name === focused.name && each.value === focused.value,
      );
      (same ?? this.body).focus?.();
    }
  }

  #facet(name, chosen) {
    const known = this.facets?.find((facet) => facet.name === name)?.values ?? [];
    const extra = chosen.filter((where) => !known.some((value) => value.where === where));
    const values = [...extra.map((where) => ({ where, label: where, count: null })), ...known];
    if (!values.length) return null;
    const unfolded = this.unfolded.has(name);
    const shown = unfolded ? values : values.filter(({ where }, at) => at < FIRST || chosen.includes(where));
    const rest = values.length - shown.length;
    return el(
      "fieldset",
      { class: "facet", data: { facet: name } },
      el("legend", {}, TITLES[name]),
      shown.map((value) => this.#value(name, value, chosen)),
      name === "taken" ? this.#span() : null,
      rest > 0 || unfolded
        ? el(
            "button",
            {
              class: "button quiet small", type: "button",
              onclick: () => {
                if (unfolded) this.unfolded.delete(name);
                else this.unfolded.add(name);
                this.#draw();
                this.panel.querySelector(`[data-facet=${name}] > button`)?.focus();
              },
            },
            unfolded ? "Fewer" : `${count(rest)} more`,
          )
        : null,
    );
  }

  #value(name, value, chosen) {
    const box = el("input", {
      type: "checkbox", name, value: value.where, checked: chosen.includes(value.where),
      onchange: (event) => {
        const now = params().getAll(name);
        const next = event.target.checked
          ? [...now, value.where]
          : now.filter((where) => where !== value.where);
        go({ [name]: next, ...FRESH });
      },
    });
    const label = name === "folder" ? shortFolder(value.label) : value.label;
    const left = this.#left(name, value);
    return el(
      "label",
      { class: left === 0 ? "facet-value none" : "facet-value", title: value.label },
      box,
      el("span", { class: "facet-label" }, label),
      left === null ? null : el("span", { class: "facet-count" }, count(left)),
    );
  }

  /** How many images a value would leave; null where that is not known. */
  #left(name, value) {
    const counts = this.counts.get(name);
    if (!counts) return value.count;
    // Not all values are listed: places are named by their middle, folders by where they fork.
    const complete = !["place", "folder"].includes(name) && counts.size < LISTED;
    return counts.get(value.where) ?? (complete ? 0 : null);
  }

  /** From one day to another. */
  #span() {
    const from = el("input", { class: "field", type: "date", name: "from", "aria-label": "Taken from" });
    const to = el("input", { class: "field", type: "date", name: "to", "aria-label": "Taken until" });
    const add = () => {
      if (!from.value && !to.value) return;
      const [first, last] =
        from.value && to.value && from.value > to.value ? [to.value, from.value] : [from.value, to.value];
      go({ taken: [...params().getAll("taken"), `taken:${first}..${last}`], ...FRESH });
    };
    return el(
      "div",
      { class: "span" },
      from, to,
      el("button", { class: "button small", type: "button", onclick: add }, "Add"),
    );
  }

  #typed(question) {
    const typed = el("input", {
      class: "field", type: "text", name: "where", value: question.where, maxlength: 5000,
      placeholder: "width:>=1920 -tag:private", spellcheck: "false", autocapitalize: "off",
      autocomplete: "off",
    });
    return el(
      "form",
      {
        class: "facet",
        onsubmit: (event) => {
          event.preventDefault();
          go({ where: typed.value.trim(), ...FRESH });
        },
      },
      el("label", { class: "stacked" }, "Filter in words", typed),
    );
  }

  #showChips(question) {
    const labels = new Map(
      (this.facets ?? []).flatMap((facet) => facet.values.map((value) => [`${facet.name} ${value.where}`, value.label])),
    );
    const chips = [];
    for (const name of FACETS) {
      for (const where of question.facets[name]) {
        const label = labels.get(`${name} ${where}`) ?? where;
        const left = question.facets[name].filter((each) => each !== where);
        chips.push(
          chip(name === "folder" ? shortFolder(label) : label, label, () => go({ [name]: left, ...FRESH })),
        );
      }
    }
    if (question.where.trim()) chips.push(chip(question.where, question.where, () => go({ where: null, ...FRESH })));
    if (chips.length > 1) {
      chips.push(
        el(
          "li",
          {},
          el("button", { class: "button quiet small", type: "button", onclick: () => go(UNFILTERED) }, "Clear filters"),
        ),
      );
    }
    replace(this.chips, chips);
  }
}

function chip(label, title, remove) {
  return append(
    el("li", { class: "chip", title }),
    el("span", {}, label),
    el("button", { type: "button", "aria-label": `Remove the filter ${label}`, onclick: remove }, icon("close")),
  );
}

function shortFolder(path) {
  const name = fileName(path);
  const parent = fileName(path.slice(0, Math.max(0, path.length - name.length - 1)));
  return parent && parent !== name ? `${parent}/${name}` : name;
}

function remembered() {
  try {
    return localStorage.getItem(OPEN_KEY);
  } catch {
    return null;
  }
}
