// The map: every image a point, alike images near each other.
import { call, get, inCollection, send, thumbnailUrl } from "../core/api.js";
import { el, replace } from "../core/dom.js";
import { count, fileName, plural, when } from "../core/format.js";
import { nothingIndexed, openPage } from "../core/frame.js";
import { keysDialog } from "../core/help.js";
import { icon } from "../core/icons.js";
import { JobLine, runningJobs } from "../core/jobs.js";
import { onKeys } from "../core/keys.js";
import { busyWhile, message, problemMessage, toast } from "../core/messages.js";
import { go, onAddress, params } from "../core/url.js";
import { WAYS, coloured } from "./colours.js";
import { Cells, unpack } from "./points.js";
import { Selection } from "./selection.js";
import { MapView } from "./view.js";

const SCORED = 1000;
const JOBS = { map: "Making the map" };

class MapPage {
  constructor({ mayWrite, collection }) {
    this.collection = collection.name;
    this.mayWrite = mayWrite;
    this.job = new JobLine(JOBS);
    this.place = el("div", { class: "map-place results" });
    this.summary = el("p", { class: "summary", role: "status" });
    this.tools = el("div", { class: "toolbar" });
  }

  async start(main) {
    replace(main, el("h1", { class: "visually-hidden" }, "Map"),
      el("div", { class: "map-page" }, this.tools, this.job.element, this.place));
    document.addEventListener("likeness:signed-in", () => location.reload());
    document.addEventListener("likeness:theme", () => this.paint());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
    onAddress(() => void this.addressed());
    await this.load();
    const [running] = await runningJobs(this.collection, ["map"]);
    if (running) await this.follow(running);
  }

  async load() {
    this.place.setAttribute("aria-busy", "true");
    try {
      const run = params().get("run");
      const address = inCollection(this.collection, "map") + (run ? `?run=${encodeURIComponent(run)}` : "");
      const blob = await busyWhile(call(address, { as: "blob" }));
      this.points = unpack(await blob.arrayBuffer());
      this.open();
    } catch (problem) {
      replace(this.tools);
      replace(this.place, problem.code === "not_made_yet" ? this.#unmade() : problemMessage(problem, { retry: () => void this.load() }));
    } finally {
      this.place.removeAttribute("aria-busy");
    }
  }

  #unmade() {
    return message({
      icon: "place", title: "There is no map yet",
      body: el("p", {}, "Every image gets a place in the plane, alike images near each other. It is computed once and extended to new images."),
      actions: this.mayWrite ? [el("button", { class: "button primary", type: "button", onclick: () => void this.make() }, "Make the map")] : [],
    });
  }

  async make() {
    try {
      await this.follow(await send("POST", inCollection(this.collection, "map"), {}));
    } catch (problem) {
      toast(problem.detail ?? problem.message);
    }
  }

  async follow(job) {
    const last = await this.job.follow(job);
    if (last.state === "failed") toast(last.message, { stay_ms: 12_000 });
    await this.load();
  }

  // -------------------------------------------------------------------- the map itself

  open() {
    const { points } = this;
    this.stopKeys?.();
    this.rowOf = null;
    this.view = new MapView({
      collection: this.collection, points, cells: new Cells(points),
      on: {
        moved: (view) => this.moved(view),
        hover: (row, x, y) => this.hover(row, x, y),
        open: (row) => location.assign(`/?${new URLSearchParams({ c: this.collection, i: points.ids[row] })}`),
        lasso: (rows, add) => this.select(rows, add),
      },
    });
    this.selection = new Selection({
      collection: this.collection, points, mayWrite: this.mayWrite,
      on: { clear: () => this.select([]), frame: (rows) => this.view.frame(rows) },
    });
    this.legend = el("section", { class: "map-legend", "aria-label": "Legend" });
    this.tip = el("div", { class: "map-tip", hidden: true });
    this.view.element.append(this.legend, this.tip, this.#zoomers());
    replace(this.place, this.view.element, this.selection.element);
    this.#toolbar();
    const query = params();
    const number = (name, other) => (query.has(name) && Number.isFinite(Number(query.get(name))) ? Number(query.get(name)) : other);
    this.view.set({ x: number("x", 0.5), y: number("y", 0.5), zoom: number("z", 1) });
    this.stopKeys = onKeys({
      l: () => this.lasso(!this.view.lassoing),
      v: () => this.select(this.view.inView),
      s: () => this.#selectLike(this.view.middle),
      Escape: () => (this.view.lassoing ? this.lasso(false) : this.select([])),
      "/": () => this.words.focus(),
      "?": () => this.help(),
    });
    onKeys(this.view.keys(), { within: this.view.canvas });
    void this.addressed(true);
  }

  #toolbar() {
    this.by = el("select", { class: "field", "aria-label": "Colour by", id: "by" },
      Object.entries(WAYS).map(([value, label]) => el("option", { value }, `Colour by ${label.toLowerCase()}`)));
    this.by.addEventListener("change", () => go({ by: this.by.value === "cluster" ? null : this.by.value }));
    this.words = el("input", { class: "field", type: "search", "aria-label": "Search, to colour by score", placeholder: "Colour by a search …", maxlength: 500 });
    const search = el("form", {
      class: "map-search", role: "search",
      onsubmit: (event) => {
        event.preventDefault();
        const words = this.words.value.trim();
        go({ q: words || null, by: words ? "score" : null });
      },
    }, this.words);
    this.lassoButton = el("button", { class: "button", type: "button", id: "lasso", "aria-pressed": "false", title: "Lasso (L, or drag with Shift)", onclick: () => this.lasso(!this.view.lassoing) }, icon("crop"), "Lasso");
    replace(this.tools, this.summary, search, this.by, this.lassoButton, el("span", { class: "spring" }),
      this.mayWrite ? el("button", { class: "button quiet", type: "button", title: "Place new images; made anew when the collection has grown by half", onclick: () => void this.make() }, icon("undo"), "Update") : null,
      el("button", { class: "button quiet icon", type: "button", "aria-label": "Keys", title: "Keys (?)", onclick: () => this.help() }, icon("why")));
    const { count: n, header } = this.points;
    replace(this.summary, el("strong", {}, plural(n, "image")), header.run ? ` · ${plural(Object.keys(header.clusters).length, "cluster")} of ${header.run.name}` : "");
  }

  #zoomers() {
    const button = (symbol, label, run) => el("button", { class: "button icon", type: "button", "aria-label": label, title: label, onclick: run }, icon(symbol));
    return el("div", { class: "map-zoom" },
      button("plus", "Closer", () => this.view.zoomBy(1.7)),
      button("minus", "Further away", () => this.view.zoomBy(1 / 1.7)),
      button("auto", "All of it", () => this.view.set({ x: 0.5, y: 0.5, zoom: 1 })));
  }

  /** What the address says beside the place: colours and the search. */
  async addressed(first = false) {
    if (!this.view) return;
    const query = params();
    const way = query.get("by") in WAYS ? query.get("by") : "cluster";
    const words = query.get("q") ?? "";
    if (!first && way === this.way && words === this.asked) return;
    this.way = way;
    this.by.value = way;
    if (words !== this.asked) {
      this.asked = words;
      this.words.value = words;
      this.scores = words ? await this.#scored(words) : null;
    }
    this.paint();
  }

  async #scored(words) {
    try {
      const answer = await busyWhile(send("POST", inCollection(this.collection, "search"), { terms: [{ text: words }], k: SCORED }));
      return new Map(answer.hits.map(({ image, score }) => [image.id, score]));
    } catch (problem) {
      toast(problem.detail ?? problem.message);
      return null;
    }
  }

  paint() {
    if (!this.view) return;
    const { colours, legend } = coloured(this.points, this.way, this.scores);
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark"
      || (document.documentElement.dataset.theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
    const picked = this.picked ?? (this.way === "score" && this.scores ? this.#marks((row) => this.scores.has(this.points.ids[row])) : null);
    this.view.look = { colours, picked, background: dark ? 0xff0e100f : 0xfff7f8f8 };
    this.view.redraw();
    this.#legend(legend);
  }

  #marks(test) {
    return Uint8Array.from({ length: this.points.count }, (_, row) => Number(test(row)));
  }

  #legend(legend) {
    const title = el("h2", {}, WAYS[this.way]);
    if (legend.ramp) {
      replace(this.legend, title, el("div", { class: "ramp", style: { background: legend.ramp } }),
        el("p", { class: "ramp-ends" }, el("span", {}, legend.from), el("span", {}, legend.to)));
      return;
    }
    replace(this.legend, title, el("ul", {}, legend.items.map(({ label, colour, count: n, rows }) => el("li", {},
      el("button", { type: "button", title: `Select: ${label}`, onclick: () => this.select(rows()) },
        el("span", { class: "swatch", style: { background: colour } }), el("span", { class: "legend-label" }, label), el("small", {}, count(n)))))),
      legend.more ? el("p", { class: "hint" }, legend.more) : null);
  }

  // -------------------------------------------------------------------- selecting

  lasso(on) {
    this.view.lassoing = on;
    this.lassoButton.setAttribute("aria-pressed", String(on));
    this.view.element.classList.toggle("lassoing", on);
  }

  /** add: to what is selected already. */
  select(rows, add = false) {
    const all = add ? [...new Set([...this.selection.rows, ...rows])] : rows;
    this.lasso(false);
    const marks = new Set(all);
    this.picked = all.length ? this.#marks((row) => marks.has(row)) : null;
    this.selection.show(all);
    this.paint();
  }

  /** The cluster (or folder) of the image in the middle: what a lasso does, by keyboard. */
  #selectLike(row) {
    if (row < 0) return;
    const groups = this.way === "folder" ? this.points.folder : this.points.cluster;
    const rows = [];
    groups.forEach((group, at) => {
      if (group === groups[row]) rows.push(at);
    });
    this.select(rows);
    toast(`${plural(rows.length, "image")} selected.`);
  }

  moved({ x, y, zoom }) {
    clearTimeout(this.writing);
    this.writing = setTimeout(() => {
      const home = zoom === 1 && x === 0.5 && y === 0.5;
      go({ x: home ? null : x.toFixed(4), y: home ? null : y.toFixed(4), z: home ? null : zoom.toFixed(2) }, { replace: true });
    }, 250);
  }

  hover(row, px = 0, py = 0) {
    this.view && (this.view.canvas.style.cursor = row >= 0 ? "pointer" : "");
    if (row === this.hovered && row >= 0) {
      this.#placeTip(px, py);
      return;
    }
    this.hovered = row;
    clearTimeout(this.asking);
    this.tip.hidden = true;
    if (row < 0) return;
    this.asking = setTimeout(() => void this.#told(row, px, py), 90);
  }

  async #told(row, px, py) {
    const id = this.points.ids[row];
    let image;
    try {
      image = await get(inCollection(this.collection, "images", id));
    } catch {
      return; // it has gone meanwhile: nothing to tell
    }
    if (this.hovered !== row) return;
    const { header, cluster } = this.points;
    replace(this.tip,
      el("img", { src: thumbnailUrl(this.collection, id, 150), alt: "", width: 150, height: Math.round((150 * (image.height ?? 3)) / (image.width ?? 4)) }),
      el("strong", {}, fileName(image.path)),
      el("span", {}, [cluster[row] ? header.clusters[cluster[row] - 1] : null, image.taken_at ? when(image.taken_at, { time: false }) : null].filter(Boolean).join(" · ")));
    this.tip.hidden = false;
    this.#placeTip(px, py);
  }

  #placeTip(px, py) {
    const { clientWidth: w, clientHeight: h } = this.view.element;
    this.tip.style.left = `${Math.max(4, Math.min(px + 14, w - 174))}px`;
    this.tip.style.top = `${Math.max(4, Math.min(py + 14, h - this.tip.offsetHeight - 6))}px`;
  }

  help() {
    keysDialog("Keys", [
      [["←", "→", "↑", "↓"], "Move (with the map focused)"],
      [["+", "−"], "Closer, further away"],
      [["0"], "All of it"],
      [["Enter"], "Open the image in the middle"],
      [["L"], "Lasso; or drag with Shift, and with Ctrl to add"],
      [["V"], "Select all in view"],
      [["S"], "Select the cluster or folder in the middle"],
      [["/"], "Colour by a search"],
      [["Esc"], "Clear the selection"],
    ]);
  }
}

const main = document.getElementById("main");
try {
  const opened = await openPage();
  if (!opened.collection) replace(main, nothingIndexed());
  else await new MapPage(opened).start(main);
} catch (problem) {
  replace(main, problemMessage(problem, { retry: () => location.reload() }));
}
