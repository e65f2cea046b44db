// The bar above the groups: what there is, filters, rules, and the way to a plan.
import { el, replace } from "../core/dom.js";
import { bytes, count, plural } from "../core/format.js";
import { icon } from "../core/icons.js";
import { menu } from "../core/menu.js";
import { go } from "../core/url.js";
import { RELATIONS, RELATION_NAMES, RULES } from "./data.js";

const STATUSES = { all: "All", open: "Open", decided: "Decided" };

/** The filter that an address asks for. */
export function filterOf(query) {
  const relation = query.get("relation");
  const status = query.get("status");
  return {
    relation: RELATIONS.includes(relation) ? relation : null,
    status: status in STATUSES ? status : "all",
    order: query.get("order") === "gain" ? "gain" : "certainty",
  };
}

/** on: {find(asked), mark(asked), plan(), help()}. */
export class Bar {
  constructor({ on, mayWrite }) {
    this.on = on;
    this.summary = el("p", { class: "summary", role: "status" });
    this.relations = el("div", { class: "choices", role: "group", "aria-label": "Relation" });
    this.statuses = el("div", { class: "choices", role: "group", "aria-label": "Verdicts" });
    this.order = el("select", { class: "field", "aria-label": "Order", id: "order" },
      el("option", { value: "certainty" }, "Most certain first"), el("option", { value: "gain" }, "Most to gain first"));
    this.order.addEventListener("change", () => go({ order: this.order.value === "gain" ? "gain" : null }));
    this.plan = el("button", { class: "button primary", type: "button", id: "plan", onclick: () => on.plan() }, "Plan");
    const help = el("button", { class: "button quiet icon", type: "button", "aria-label": "Keys", title: "Keys (?)", onclick: () => on.help() }, icon("why"));
    this.element = el("div", { class: "duplicates-bar" },
      el("div", { class: "toolbar" }, this.summary, el("span", { class: "spring" }),
        mayWrite ? this.#rules() : null, mayWrite ? this.#search() : null, this.plan, help),
      el("div", { class: "toolbar" }, this.relations, this.statuses, this.order));
  }

  show({ run, totals }, filter) {
    this.filter = filter;
    this.element.classList.toggle("unused", !run);
    replace(this.summary, run
      ? [el("strong", {}, plural(totals.groups, "group")), ` of ${plural(totals.images, "image")} · ${bytes(totals.gain)} can go`,
          totals.marked ? [" · ", el("strong", {}, `${count(totals.marked)} marked`), `, ${bytes(totals.marked_bytes)}`] : null]
      : "Copies were not looked for yet");
    const relation = (value, label, number) => el("button", {
      class: "button", type: "button", "aria-pressed": String(filter.relation === value), onclick: () => go({ relation: value }),
    }, label, " ", el("small", {}, count(number)));
    replace(this.relations, relation(null, "All", totals.groups),
      RELATIONS.filter((name) => totals.by_relation[name]).map((name) => relation(name, RELATION_NAMES[name], totals.by_relation[name])));
    const numbers = { all: totals.groups, open: totals.open, decided: totals.groups - totals.open };
    replace(this.statuses, Object.entries(STATUSES).map(([value, label]) => el("button", {
      class: "button", type: "button", "aria-pressed": String(filter.status === value), onclick: () => go({ status: value === "all" ? null : value }),
    }, label, " ", el("small", {}, count(numbers[value])))));
    this.order.value = filter.order;
    replace(this.plan, icon("trash"), totals.marked ? `Plan · ${count(totals.marked)}` : "Plan");
  }

  #rules() {
    const rule = el("select", { class: "field" }, Object.entries(RULES).map(([value, label]) => el("option", { value }, label)),
      el("option", { value: "path" }, "In a folder or by name …"));
    const pattern = el("input", { class: "field", placeholder: "*/originals/*", maxlength: 900, spellcheck: "false" });
    const patternLabel = el("label", { class: "stacked", hidden: true }, "Path pattern", pattern);
    rule.addEventListener("change", () => {
      patternLabel.hidden = rule.value !== "path";
      if (!patternLabel.hidden) pattern.focus();
    });
    const decided = el("input", { type: "checkbox" });
    const form = el("form", { class: "panel-form" },
      el("label", { class: "stacked" }, "Of each group, keep", rule), patternLabel,
      el("label", { class: "check" }, decided, el("span", {}, "Change decided groups too")),
      el("p", { class: "hint" }, "For all groups of the relation that is shown. Marks only; nothing is moved."),
      el("button", { class: "button primary", type: "submit" }, "Mark the others to be removed"));
    const opened = menu("By rule", form, { align: "end", id: "rules", symbol: "check" });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (rule.value === "path" && !pattern.value.trim()) {
        pattern.focus();
        return;
      }
      opened.close();
      this.on.mark({
        keep: rule.value === "path" ? `path:${pattern.value.trim()}` : rule.value,
        relations: this.filter.relation ? [this.filter.relation] : [],
        decided_too: decided.checked,
      });
    });
    return opened.element;
  }

  #search() {
    const least = el("select", { class: "field" }, RELATIONS.slice().reverse().map((name) => el("option", { value: name, selected: name === "edited-copy" }, `${RELATION_NAMES[name]} or closer`)));
    const keep = el("select", { class: "field" }, Object.entries(RULES).map(([value, label]) => el("option", { value }, label)));
    const wrong = el("select", { class: "field" }, [[0.0001, "one in 10,000"], [0.001, "one in 1,000"], [0.01, "one in 100"]].map(([value, label]) => el("option", { value, selected: value === 0.001 }, label)));
    const where = el("input", { class: "field", placeholder: "everything", maxlength: 5000, spellcheck: "false" });
    const reference = el("input", { class: "field", placeholder: "none", maxlength: 4000, spellcheck: "false" });
    const form = el("form", { class: "panel-form" },
      el("label", { class: "stacked" }, "Show", least),
      el("label", { class: "stacked" }, "First of a group", keep),
      el("label", { class: "stacked" }, "Images with a false copy, at most", wrong),
      el("label", { class: "stacked" }, "Only among (a filter)", where),
      el("label", { class: "stacked" }, "Folder whose images stay", reference),
      el("button", { class: "button primary", type: "submit" }, "Find copies"));
    const opened = menu("Find copies", form, { align: "end", id: "find", symbol: "search" });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      opened.close();
      this.on.find({
        least: least.value, keep: keep.value, max_false: Number(wrong.value),
        where: where.value.trim() || null, reference: reference.value.trim() ? [reference.value.trim()] : [],
      });
    });
    return opened.element;
  }
}
