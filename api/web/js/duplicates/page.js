// Copies and near-copies, to be reviewed: groups side by side, verdicts by keyboard, plans.
import { el, replace } from "../core/dom.js";
import { watchEnd } from "../core/grid.js";
import { nothingIndexed, openPage } from "../core/frame.js";
import { JobLine, runningJobs } from "../core/jobs.js";
import { onKeys } from "../core/keys.js";
import { busyWhile, message, problemMessage, toast } from "../core/messages.js";
import { fileName, plural } from "../core/format.js";
import { go, onAddress, params } from "../core/url.js";
import { Bar, filterOf } from "./bar.js";
import { Comparison } from "./compare.js";
import { Copies } from "./data.js";
import { GroupList } from "./groups.js";
import { helpDialog } from "./help.js";
import { PlanDialog } from "./plans.js";

const JOBS = { duplicates: "Looking for copies", apply: "Taking copies away", undo: "Bringing copies back" };

class DuplicatesPage {
  constructor({ session, mayWrite, collection }) {
    this.collection = collection.name;
    this.mayWrite = mayWrite;
    this.copies = new Copies(collection.name);
    this.undone = [];
    this.job = new JobLine(JOBS);
    this.bar = new Bar({
      mayWrite,
      on: {
        find: (asked) => void this.find(asked),
        mark: (asked) => void this.mark(asked),
        plan: () => void this.plans.open(this.totals),
        help: () => helpDialog(),
      },
    });
    const on = {
      judge: (group, member, verdict) => void this.judge(group, { [member.image.id]: verdict }),
      apart: (group, member) => void this.apart(group, member),
      accept: (group) => void this.accept(group),
      compare: (group, member) => go({ g: group.id, w: member.image.id }),
      mode: (mode) => go({ m: mode === "side" ? null : mode }, { replace: true }),
      with: (member) => go({ w: member.image.id }, { replace: true }),
      closed: (group) => this.closed(group),
    };
    this.list = new GroupList({ on, mayWrite });
    this.comparison = new Comparison({ on, mayWrite });
    this.plans = new PlanDialog({
      copies: this.copies, mayWrite, mayAct: session.scope === "admin",
      on: { act: (plan, verb) => void this.act(plan, verb) },
    });
    this.results = el("div", { class: "results" });
    this.end = watchEnd(() => void this.more());
  }

  async start(main) {
    replace(main, el("h1", { class: "visually-hidden" }, "Duplicates"),
      el("div", { class: "sorting-top" }, this.bar.element, this.job.element), this.results);
    this.#listen();
    onAddress(() => void this.render());
    document.addEventListener("likeness:signed-in", () => location.reload());
    await this.render();
    const [running] = await runningJobs(this.collection, Object.keys(JOBS));
    if (running) await this.follow(running);
  }

  #listen() {
    const current = (run) => () => {
      const now = this.list.current;
      return now ? run(now) : false;
    };
    const judge = (verdict) => current(({ group, member }) => {
      if (this.mayWrite && !member.protected) void this.judge(group, { [member.image.id]: verdict });
    });
    onKeys({
      ArrowRight: () => this.list.stepMember(1),
      ArrowLeft: () => this.list.stepMember(-1),
      ArrowDown: () => this.#down(1),
      ArrowUp: () => this.list.stepGroup(-1),
      k: judge("keep"),
      r: judge("remove"),
      Delete: judge("remove"),
      u: judge(null),
      n: current(({ group, member }) => {
        if (this.mayWrite && member !== group.members[0]) void this.apart(group, member);
      }),
      a: current(({ group }) => {
        if (this.mayWrite) void this.accept(group, { goOn: true });
      }),
      z: () => void this.takeBack(),
      p: () => void this.plans.open(this.totals),
      "?": () => helpDialog(),
    });
  }

  /** The first press goes to the current image, the others to the next group. */
  #down(by) {
    if (!this.list.element.contains(document.activeElement)) return this.list.focus();
    return this.list.stepGroup(by);
  }

  async render() {
    const filter = filterOf(params());
    const key = JSON.stringify(filter);
    if (key !== this.key) {
      this.key = key;
      await this.load(filter);
    }
    await this.#compared();
  }

  async load(filter = filterOf(params())) {
    this.results.setAttribute("aria-busy", "true");
    try {
      const page = await busyWhile(this.copies.page(filter));
      this.totals = page.totals;
      this.next = page.next_after;
      this.bar.show(page, filter);
      this.list.set(page.groups);
      if (page.groups.length) replace(this.results, this.#notices(page.run), this.list.element, this.end.element);
      else replace(this.results, this.#notices(page.run), this.#empty(page, filter));
    } catch (problem) {
      replace(this.results, problemMessage(problem, { retry: () => void this.load() }));
    } finally {
      this.results.removeAttribute("aria-busy");
    }
  }

  async more() {
    if (!this.next || this.loading) return;
    this.loading = true;
    try {
      const page = await busyWhile(this.copies.page(filterOf(params()), this.next));
      this.next = page.next_after;
      this.list.append(page.groups.filter(({ id }) => !this.list.articles.has(id)));
    } catch (problem) {
      toast(problem.detail ?? problem.message);
    } finally {
      this.loading = false;
      this.end.look();
    }
  }

  #notices(run) {
    if (!run?.stale || this.job.busy) return null;
    return el("p", { class: "notice-line" }, el("span", { class: "inline-notice" },
      "Images came or went since copies were looked for."),
      this.mayWrite ? el("button", { class: "button small", type: "button", onclick: () => void this.find({}) }, "Look again") : null);
  }

  #empty({ run, totals }, filter) {
    if (!run) {
      return message({
        icon: "similar", title: "Copies were not looked for yet",
        body: el("p", {}, "Likeness compares the pictures themselves: resized, recompressed, cropped, mirrored and recoloured copies are found and proven. Nothing is changed."),
        actions: this.mayWrite ? [el("button", { class: "button primary", type: "button", onclick: () => void this.find({}) }, "Find copies")] : [],
      });
    }
    if (totals.groups) {
      const done = filter.status === "open" && !totals.open;
      return message({
        icon: done ? "check" : "filter", title: done ? "Every group is decided" : "No group fits the filter",
        body: el("p", {}, `${plural(totals.groups, "group")} in all.`),
        actions: [
          el("button", { class: "button", type: "button", onclick: () => go({ relation: null, status: null }) }, "Show all"),
          totals.marked ? el("button", { class: "button primary", type: "button", onclick: () => void this.plans.open(this.totals) }, "Plan") : null,
        ].filter(Boolean),
      });
    }
    return message({ icon: "check", title: "There are no copies", body: el("p", {}, `${plural(run.images, "image")} looked at, ${plural(run.compared, "pair")} compared.`) });
  }

  // -------------------------------------------------------------------- comparing

  async #compared() {
    const id = Number(params().get("g"));
    if (!params().has("w") || !id) {
      this.comparison.close();
      return;
    }
    let group = this.list.groups.find((each) => each.id === id);
    try {
      group ??= await this.copies.group(id);
    } catch (problem) {
      toast(problem.detail ?? problem.message);
      go({ g: null, w: null, m: null }, { replace: true });
      return;
    }
    const wanted = Number(params().get("w"));
    const member = group.members.find(({ image }) => image.id === wanted) ?? group.members[1];
    this.comparison.show(group, member, params().get("m") ?? "side");
  }

  closed(group) {
    if (params().has("w")) go({ g: null, w: null, m: null });
    const at = this.list.groups.findIndex(({ id }) => id === group.id);
    if (at >= 0) this.list.goTo(at, this.list.at.group === at ? this.list.at.member : 0);
  }

  // -------------------------------------------------------------------- verdicts

  /** verdicts: image id → keep, remove or null. */
  async judge(group, verdicts, { remember = true } = {}) {
    const before = Object.fromEntries(group.members.filter(({ image }) => image.id in verdicts).map(({ image, verdict }) => [image.id, verdict]));
    const ids = (wanted) => Object.keys(verdicts).filter((id) => verdicts[id] === wanted).map(Number);
    try {
      await this.copies.judge({ keep: ids("keep"), remove: ids("remove"), undecided: ids(null) });
    } catch (problem) {
      toast(problem.detail ?? problem.message);
      return;
    }
    if (remember) this.undone.push(() => this.judge(this.#now(group), before, { remember: false }));
    await this.#refresh(group.id);
  }

  async apart(group, member) {
    const pair = [group.members[0].image.id, member.image.id];
    if (pair[0] === pair[1]) return;
    try {
      await this.copies.judge({ not_duplicates: [pair] });
    } catch (problem) {
      toast(problem.detail ?? problem.message);
      return;
    }
    const back = async () => {
      await this.copies.judge({ duplicates: [pair] });
      await this.load();
    };
    this.undone.push(back);
    toast(`${fileName(member.image.path)} is no copy, and is not shown as one again.`, { action: { label: "Take back", run: () => void this.takeBack() } });
    await this.#refresh(group.id);
  }

  /** The first is kept, the others are to go. */
  async accept(group, { goOn = false } = {}) {
    const [first, ...others] = group.members;
    const verdicts = { [first.image.id]: "keep" };
    for (const { image, protected: stays } of others) verdicts[image.id] = stays ? "keep" : "remove";
    for (const { image, collection } of group.members) if (collection !== this.collection) delete verdicts[image.id];
    await this.judge(group, verdicts);
    if (goOn) this.list.stepGroup(1);
  }

  async takeBack() {
    const last = this.undone.pop();
    if (!last) {
      toast("There is nothing to take back.");
      return;
    }
    try {
      await last();
    } catch (problem) {
      toast(problem.detail ?? problem.message);
    }
  }

  #now(group) {
    return this.list.groups.find(({ id }) => id === group.id) ?? group;
  }

  /** The group and the totals as the server knows them now. */
  async #refresh(id) {
    const filter = filterOf(params());
    const [group, page] = await Promise.all([
      this.copies.group(id).catch(() => ({ id, members: [] })),
      this.copies.page(filter, null, 1),
    ]);
    this.totals = page.totals;
    this.bar.show(page, filter);
    this.comparison.update(group);
    this.list.update(group);
    if (!this.list.groups.length) await this.load();
  }

  async mark(asked) {
    try {
      const marked = await busyWhile(this.copies.mark(asked));
      toast(`${plural(marked.groups, "group")} decided: ${plural(marked.removed, "image")} to be removed.`);
      await this.load();
    } catch (problem) {
      toast(problem.detail ?? problem.message);
    }
  }

  // -------------------------------------------------------------------- jobs

  async find(asked) {
    try {
      await this.follow(await this.copies.find(asked));
    } catch (problem) {
      toast(problem.detail ?? problem.message);
    }
  }

  async act(plan, verb) {
    try {
      await this.follow(await this.copies.act(plan.id, verb), plan);
    } catch (problem) {
      toast(problem.detail ?? problem.message);
    }
  }

  async follow(job, plan = null) {
    const last = await this.job.follow(job);
    if (last.state === "failed") toast(last.message, { stay_ms: 12_000 });
    else if (last.state === "cancelled") toast("Stopped.");
    else if (last.kind === "apply") {
      const action = plan ? { label: "Undo", run: () => void this.act(plan, "undo") } : null;
      toast(`${plural(last.counts.taken_away ?? 0, "file")} taken away.${last.message ? ` ${last.message}` : ""}`, { action, stay_ms: 12_000 });
    } else if (last.kind === "undo") toast(`${plural(last.counts.brought_back ?? 0, "file")} back in place.${last.message ? ` ${last.message}` : ""}`);
    await this.load();
  }
}

const main = document.getElementById("main");
try {
  const opened = await openPage();
  if (!opened.collection) replace(main, nothingIndexed());
  else await new DuplicatesPage(opened).start(main);
} catch (problem) {
  replace(main, problemMessage(problem, { retry: () => location.reload() }));
}
