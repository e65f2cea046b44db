// What is selected: a grid of it, and what can be done with it.
import { inCollection, send, thumbnailUrl } from "../core/api.js";
import { el, replace } from "../core/dom.js";
import { count, plural } from "../core/format.js";
import { JustifiedGrid, watchEnd } from "../core/grid.js";
import { icon } from "../core/icons.js";
import { toast } from "../core/messages.js";

const PAGE = 60;
const PICKS = 12;

/** The panel of the selection. on: {clear(), frame(rows)}. */
export class Selection {
  constructor({ collection, points, mayWrite, on }) {
    Object.assign(this, { collection, points, mayWrite, on });
    this.rows = [];
    this.title = el("h2", { tabindex: -1 });
    this.actions = el("div", { class: "selection-actions" });
    this.grid = new JustifiedGrid({
      label: "Selected images", height: () => 84,
      describe: (row) => {
        const id = this.points.ids[row];
        return {
          id, width: 4, height: 3, name: `Image ${id}`, href: this.href({ i: id }),
          src: () => thumbnailUrl(this.collection, id, 110),
        };
      },
    });
    this.end = watchEnd(() => this.#more(), 300);
    this.element = el("aside", { class: "selection", "aria-label": "Selection", hidden: true },
      el("div", { class: "selection-head" }, this.title,
        el("button", { class: "button quiet icon small", type: "button", "aria-label": "Clear the selection", title: "Clear (Escape)", onclick: () => this.on.clear() }, icon("close"))),
      this.actions, el("div", { class: "selection-list" }, this.grid.element, this.end.element));
  }

  href(query) {
    return `/?${new URLSearchParams({ c: this.collection, ...query })}`;
  }

  /** These points, and the panel is there; none: it is gone. */
  show(rows) {
    this.rows = rows;
    this.element.hidden = !rows.length;
    if (!rows.length) return;
    this.title.textContent = `${plural(rows.length, "image")} selected`;
    replace(this.actions,
      el("a", { class: "button small", href: this.#alike() }, icon("similar"), "More like these"),
      el("button", { class: "button small", type: "button", onclick: () => this.on.frame(this.rows) }, icon("zoomin"), "Zoom to"),
      el("button", { class: "button small", type: "button", onclick: () => void this.#copy() }, icon("copy"), "Copy ids"),
      this.mayWrite ? this.#tagging() : null);
    this.grid.set([]);
    this.shown = 0;
    this.#more();
  }

  #more() {
    if (this.shown >= this.rows.length) return;
    this.grid.append(this.rows.slice(this.shown, this.shown + PAGE));
    this.shown += PAGE;
    this.end.look();
  }

  /** A search for what is like images from all over the selection. */
  #alike() {
    const step = Math.max(1, Math.floor(this.rows.length / PICKS));
    const ids = this.rows.filter((_, at) => at % step === 0).slice(0, PICKS).map((row) => this.points.ids[row]);
    return this.href({ like: ids[0], ...(ids.length > 1 ? { more: ids.slice(1).join(",") } : {}) });
  }

  async #copy() {
    const text = this.rows.map((row) => this.points.ids[row]).join("\n");
    try {
      await navigator.clipboard.writeText(text);
      toast(`${plural(this.rows.length, "id")} copied.`);
    } catch {
      toast("The clipboard is out of reach: the browser allows it on secure pages only.");
    }
  }

  #tagging() {
    const tag = el("input", { class: "field", "aria-label": "Tag for the selection", placeholder: "Tag", maxlength: 200, required: true });
    return el("form", {
      class: "tag-form",
      onsubmit: (event) => {
        event.preventDefault();
        void this.#tag(tag.value.trim(), tag);
      },
    }, tag, el("button", { class: "button small", type: "submit" }, icon("tag"), "Tag"));
  }

  async #tag(name, field) {
    if (!name) return;
    try {
      const images = this.rows.map((row) => this.points.ids[row]);
      const done = await send("POST", inCollection(this.collection, "tags"), { images, add: [name] });
      toast(`${count(done.images)} tagged “${name}”.`, {
        action: { label: "Show", run: () => location.assign(this.href({ tag: `tag:"${name.replace(/([*?"\\])/g, "\\$1")}"` })) },
      });
      field.value = "";
    } catch (problem) {
      toast(problem.detail ?? problem.message);
    }
  }
}
