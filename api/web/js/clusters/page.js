// The collection in order: clusters from afar and near, corrections, and what stands out.
import { thumbnailUrl } from "../core/api.js";
import { el, replace } from "../core/dom.js";
import { count, fileName, plural, when } from "../core/format.js";
import { nothingIndexed, openPage } from "../core/frame.js";
import { JustifiedGrid, watchEnd } from "../core/grid.js";
import { keysDialog } from "../core/help.js";
import { icon } from "../core/icons.js";
import { JobLine, runningJobs } from "../core/jobs.js";
import { onKeys } from "../core/keys.js";
import { busyWhile, message, problemMessage, toast } from "../core/messages.js";
import { go, hrefWith, onAddress, params } from "../core/url.js";
import { Cards } from "./cards.js";
import { Clusters, factsText } from "./data.js";
import { askParts, askRun, askText } from "./dialogs.js";

const JOBS = {
  cluster: "Clustering", "cluster-merge": "Merging", "cluster-split": "Splitting",
  "cluster-extend": "Putting new images into clusters", survey: "Looking for what stands out",
};
const LEVELS = [4, 8, 16, 32];
const VIEWS = { clusters: "Clusters", outliers: "Outliers", empty: "Near-empty" };

class ClustersPage {
  constructor({ mayWrite, collection }) {
    this.collection = collection.name;
    this.mayWrite = mayWrite;
    this.clusters = new Clusters(collection.name);
    this.job = new JobLine(JOBS);
    this.bar = el("div", { class: "toolbar" });
    this.results = el("div", { class: "results" });
    this.cards = new Cards({
      collection: this.collection, mayWrite,
      on: {
        href: (item) => hrefWith(this.#target(item)),
        open: (item) => go(this.#target(item)),
        rename: (item) => void this.rename(item),
        chosen: (numbers) => this.#chosen(numbers),
      },
    });
    this.merge = el("button", { class: "button primary", type: "button", id: "merge", hidden: true, onclick: () => void this.merged() });
  }

  async start(main) {
    replace(main, el("h1", { class: "visually-hidden" }, "Clusters"),
      el("div", { class: "sorting-top" }, this.bar, this.job.element), this.results);
    onKeys({
      "+": () => this.#zoom(1),
      "=": () => this.#zoom(1),
      "-": () => this.#zoom(-1),
      m: () => void this.merged(),
      Escape: () => this.#back(),
      ArrowDown: () => (this.results.contains(document.activeElement) ? false : this.#enter()),
      e: () => (this.cluster && this.mayWrite ? void this.rename(this.cluster) : false),
      s: () => (this.cluster && this.mayWrite ? void this.split() : false),
      "?": () => this.help(),
    });
    onAddress(() => void this.render());
    document.addEventListener("likeness:signed-in", () => location.reload());
    await this.load();
    const [running] = await runningJobs(this.collection, Object.keys(JOBS));
    if (running) await this.follow(running);
  }

  /** Everything is asked anew. */
  async load() {
    this.run = null;
    this.shown = null;
    await this.render();
  }

  /** One after another: a slow answer must not be drawn over what was asked for after it. */
  render() {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    this.rendering = (this.rendering ?? Promise.resolve()).then(() => (turn === this.turn ? this.#render() : null));
    return this.rendering;
  }

  async #render() {
    this.results.setAttribute("aria-busy", "true");
    try {
      await busyWhile(this.#drawn(params()));
    } catch (problem) {
      replace(this.results, problemMessage(problem, { retry: () => void this.load() }));
    } finally {
      this.results.removeAttribute("aria-busy");
    }
  }

  async #drawn(query) {
    this.runs = this.run ? this.runs : await this.clusters.runs();
    const view = query.get("view") in VIEWS ? query.get("view") : "clusters";
    const wanted = Number(query.get("run")) || this.runs[0]?.id;
    if (wanted && this.run?.run.id !== wanted) this.run = await this.clusters.run(wanted);
    this.level = Number(query.get("level")) || null;
    this.cluster = null;
    this.#bar(view);
    if (view !== "clusters") await this.#standing(view);
    else if (!wanted) replace(this.results, this.#unmade());
    else if (query.has("n")) await this.#members(Number(query.get("n")), query.get("order") === "marginal" ? "marginal" : "typical");
    else await this.#overview(query);
  }

  // -------------------------------------------------------------------- the bar

  #bar(view) {
    const choice = (value, label) => el("button", {
      class: "button", type: "button", "aria-pressed": String(view === value),
      onclick: () => go({ view: value === "clusters" ? null : value, n: null, order: null, group: null }),
    }, label);
    const overview = view === "clusters" && this.run && !params().has("n");
    this.merge.hidden = true;
    const zoom = el("select", { class: "field", "aria-label": "Zoom", id: "zoom" },
      el("option", { value: "" }, "All clusters"),
      LEVELS.filter((level) => this.run && level < this.run.clusters.length).reverse().map((level) => el("option", { value: level, selected: level === this.level }, `${level} groups`)));
    zoom.addEventListener("change", () => go({ level: zoom.value || null, group: null }));
    const runs = el("select", { class: "field", "aria-label": "Run", id: "run" },
      (this.runs ?? []).map((run) => el("option", { value: run.id, selected: run.id === this.run?.run.id }, `${run.name} · ${when(run.made_at)}`)));
    runs.addEventListener("change", () => go({ run: runs.value, n: null, group: null, order: null }));
    const made = this.run?.run;
    replace(this.bar,
      el("div", { class: "choices", role: "group", "aria-label": "What to show" }, Object.entries(VIEWS).map(([value, label]) => choice(value, label))),
      overview ? [runs, zoom] : null,
      el("p", { class: "summary", role: "status" }, overview
        ? [el("strong", {}, plural(this.run.clusters.length, "cluster")), this.run.in_none ? el("a", { href: hrefWith({ n: -1 }), onclick: (event) => { event.preventDefault(); go({ n: -1 }); } }, ` · ${count(this.run.in_none)} in none`) : null]
        : null),
      el("span", { class: "spring" }), this.merge,
      this.mayWrite && view === "clusters" && made?.stale ? el("button", { class: "button", type: "button", onclick: () => void this.begin(() => this.clusters.extend(made.id)) }, icon("plus"), "Add new images") : null,
      this.mayWrite && view === "clusters" ? el("button", { class: "button", type: "button", id: "make", onclick: () => void this.make() }, icon("similar"), "Cluster …") : null,
      this.mayWrite && view !== "clusters" ? el("button", { class: "button", type: "button", onclick: () => void this.begin(() => this.clusters.survey()) }, icon("search"), "Look again") : null,
      el("button", { class: "button quiet icon", type: "button", "aria-label": "Keys", title: "Keys (?)", onclick: () => this.help() }, icon("why")));
  }

  #unmade() {
    return message({
      icon: "similar", title: "The collection is not clustered yet",
      body: el("p", {}, "Alike images come together, each cluster with a name and a cover. Rename, merge and split as you like: later runs keep it."),
      actions: this.mayWrite ? [el("button", { class: "button primary", type: "button", onclick: () => void this.begin(() => this.clusters.make({})) }, "Cluster")] : [],
    });
  }

  #chosen(numbers) {
    this.merge.hidden = numbers.length < 2;
    this.merge.textContent = `Merge ${numbers.length}`;
  }

  // -------------------------------------------------------------------- what is shown

  async #overview(query) {
    const { run } = this.run;
    let items = this.run.clusters;
    let crumbs = null;
    if (this.level) {
      const groups = await this.clusters.groups(run.id, this.level);
      const inside = groups[Number(query.get("group"))];
      if (query.has("group") && inside) {
        items = items.filter(({ number }) => inside.clusters.includes(number));
        crumbs = el("p", { class: "crumbs" }, this.#link({ group: null }, `${groups.length} groups`), " › ", el("strong", {}, inside.name));
      } else items = groups.map((group) => ({ ...group, covers: this.#coversOf(group) }));
    }
    this.cards.set(items);
    replace(this.results, crumbs, this.cards.element);
    if (this.returning !== undefined) {
      const at = items.findIndex(({ number }) => number === this.returning);
      this.returning = undefined;
      if (at >= 0) this.cards.focusAt(at);
    }
  }

  #coversOf({ clusters }) {
    return clusters.map((number) => this.run.clusters.find((each) => each.number === number)?.cover);
  }

  #target(item) {
    return item.clusters ? { group: item.number } : { n: item.number };
  }

  #link(changes, text) {
    return el("a", { href: hrefWith(changes), onclick: (event) => { event.preventDefault(); go(changes); } }, text);
  }

  async #members(number, order) {
    const { run } = this.run;
    this.cluster = number < 0 ? null : await this.clusters.cluster(run.id, number);
    const name = this.cluster?.name ?? "In no cluster";
    const size = this.cluster?.size ?? this.run.in_none;
    const orders = el("div", { class: "choices", role: "group", "aria-label": "Order" },
      [["typical", "Most typical first"], ["marginal", "Most marginal first"]].map(([value, label]) => el("button", {
        class: "button", type: "button", "aria-pressed": String(order === value), onclick: () => go({ order: value === "typical" ? null : value }),
      }, label)));
    const tool = (symbol, label, runIt) => el("button", { class: "button", type: "button", onclick: runIt }, icon(symbol), label);
    const head = el("header", { class: "cluster-head" },
      el("p", { class: "crumbs" }, this.#link({ n: null, order: null }, "Clusters"), " › "),
      el("h2", { id: "cluster-name", tabindex: -1 }, name),
      el("p", { class: "card-facts" }, plural(size, "image"),
        this.cluster ? ` · coherence ${this.cluster.coherence.toFixed(2)}${factsText(this.cluster.facts) ? ` · ${factsText(this.cluster.facts)}` : ""}` : ""),
      el("div", { class: "cluster-tools" }, this.cluster ? orders : null,
        this.cluster && this.mayWrite ? [tool("tag", "Rename", () => void this.rename(this.cluster)), tool("crop", "Split", () => void this.split())] : null));
    const list = this.#grid(`Images of ${name}`, (after) => this.clusters.members(run.id, number, order, after).then((page) => ({ images: page.members.map(({ image }) => image), next: page.next_after })));
    replace(this.results, head, list);
  }

  async #standing(view) {
    const which = view === "empty" ? "near-empty" : "outliers";
    try {
      const first = await this.clusters.standing(which);
      const page = ({ images, next_after: next }) => ({ images: images.map(({ image, kind, measure }) => ({ ...image, kind, measure })), next });
      let waiting = Promise.resolve(page(first));
      const list = this.#grid(VIEWS[view], (after) => {
        const now = waiting ?? this.clusters.standing(which, after).then(page);
        waiting = null;
        return now;
      }, (image) => el("span", { class: "kind" }, image.kind === "outlier" ? image.measure.toFixed(1) : image.kind));
      replace(this.results,
        el("p", { class: "standing-head" }, view === "empty"
          ? `${plural(first.total, "image")} with next to nothing in them: blank, black or blurred.`
          : "Images unlike everything else, the strangest first; 1 is usual.",
        first.stale ? " Images came or went since they were looked for." : ""),
        first.total ? list : message({ icon: "check", title: "There is none", body: [] }));
    } catch (problem) {
      if (problem.code !== "not_made_yet") throw problem;
      replace(this.results, message({
        icon: "search", title: "Not looked for yet",
        body: el("p", {}, "Every picture is looked at once: for images unlike all others, and for blank, black and blurred ones."),
        actions: this.mayWrite ? [el("button", { class: "button primary", type: "button", onclick: () => void this.begin(() => this.clusters.survey()) }, "Look")] : [],
      }));
    }
  }

  /** A grid that asks for pages as its end comes near. ask(after) → {images, next}. */
  #grid(label, ask, overlay = () => null) {
    const grid = new JustifiedGrid({
      label, overlay,
      describe: (image) => ({
        id: image.id, width: image.width, height: image.height, name: fileName(image.path),
        src: (side) => thumbnailUrl(this.collection, image.id, side),
        href: `/?${new URLSearchParams({ c: this.collection, i: image.id })}`,
      }),
    });
    let next = 0;
    let asking = false;
    const end = watchEnd(() => void more());
    const more = async () => {
      if (asking || next === null) return;
      asking = true;
      try {
        const page = await busyWhile(ask(next));
        next = page.next;
        grid.append(page.images);
      } catch (problem) {
        next = null;
        toast(problem.detail ?? problem.message);
      } finally {
        asking = false;
        if (next !== null) end.look();
      }
    };
    return el("div", { class: "members" }, grid.element, end.element);
  }

  // -------------------------------------------------------------------- doing

  #zoom(by) {
    const steps = [...LEVELS.filter((level) => this.run && level < this.run.clusters.length), null];
    const next = steps.indexOf(this.level) + by;
    if (next >= 0 && next < steps.length) go({ level: steps[next], group: null, n: null });
  }

  #enter() {
    const first = this.results.querySelector('.card > a[tabindex="0"], .tile[tabindex="0"]');
    first?.focus();
    return Boolean(first);
  }

  #back() {
    const query = params();
    if (query.has("n")) {
      this.returning = Number(query.get("n"));
      go({ n: null, order: null });
    } else if (query.has("group")) go({ group: null });
    else if (this.cards.chosen.size) [...this.cards.chosen].forEach((number) => this.cards.choose(number));
    else return false;
    return true;
  }

  async rename(cluster) {
    const name = await askText({ title: "Rename the cluster", label: "Name", value: cluster.name, confirm: "Rename" });
    if (!name || name === cluster.name) return;
    try {
      await this.clusters.rename(this.run.run.id, cluster.number, name);
      this.returning = cluster.number;
      await this.load();
    } catch (problem) {
      toast(problem.detail ?? problem.message);
    }
  }

  async split() {
    const { number, name } = this.cluster;
    const parts = await askParts(name);
    if (parts && (await this.begin(() => this.clusters.split(this.run.run.id, number, parts)))) go({ n: null, order: null });
  }

  async merged() {
    const numbers = [...this.cards.chosen];
    if (numbers.length < 2) {
      toast("Choose two clusters or more to merge: press X on each.");
      return;
    }
    await this.begin(() => this.clusters.merge(this.run.run.id, numbers));
  }

  async make() {
    const asked = await askRun();
    if (asked && (await this.begin(() => this.clusters.make(asked)))) go({ run: null, n: null, group: null, level: null });
  }

  /** A job is begun and followed; whether it ended well. */
  async begin(work) {
    try {
      return await this.follow(await work());
    } catch (problem) {
      toast(problem.detail ?? problem.message);
      return false;
    }
  }

  async follow(job) {
    const last = await this.job.follow(job);
    if (last.state === "failed") toast(last.message, { stay_ms: 12_000 });
    else if (last.state === "cancelled") toast("Stopped.");
    await this.load();
    return last.state === "done";
  }

  help() {
    keysDialog("Keys", [
      [["←", "→", "↑", "↓"], "From cluster to cluster"],
      [["Enter"], "Open"],
      [["Esc"], "Back"],
      [["+", "−"], "Closer, further away"],
      [["E"], "Rename"],
      [["X"], "Choose for merging"],
      [["M"], "Merge the chosen ones"],
      [["S"], "Split the open one"],
    ]);
  }
}

const main = document.getElementById("main");
try {
  const opened = await openPage();
  if (!opened.collection) replace(main, nothingIndexed());
  else await new ClustersPage(opened).start(main);
} catch (problem) {
  replace(main, problemMessage(problem, { retry: () => location.reload() }));
}
