// The answers: a grid that grows, what it cost, and what to say when there is nothing to show.
import { thumbnailUrl } from "../core/api.js";
import { el, replace } from "../core/dom.js";
import { count, duration, fileName, odds, plural } from "../core/format.js";
import { JustifiedGrid, nearEnd } from "../core/grid.js";
import { menu } from "../core/menu.js";
import { busyWhile, message, problemMessage } from "../core/messages.js";
import { go, hrefWith } from "../core/url.js";
import { PAGE, PictureMissing, answersOf, forgetAnswers } from "./answers.js";
import { askLike, pick, tileTools } from "./picks.js";
import { UNFILTERED, filterCount, isAsking, pictureParams } from "./question.js";

const SLOW_MS = 2500;
const RETRY_MS = 1500;
const STAGES = {
  encode: "Read the question", filter: "Apply the filter", recall: "Find candidates",
  rank: "Score exactly", facts: "Fetch the facts", chance: "Estimate chance",
};

/** The answers of one question after another; `onOpen(image, why)` is called for a chosen one. */
export class Results {
  constructor({ onOpen }) {
    this.answers = null;
    this.control = null;
    const opened = (why) => (hit) => onOpen(hit.image, why);
    const picked = (kind) => (hit) => pick(this.answers.question, hit.image.id, kind);
    this.grid = new JustifiedGrid({
      label: "Images",
      describe: ({ image }) => ({
        id: image.id,
        width: image.width,
        height: image.height,
        src: (side) => thumbnailUrl(this.answers.question.collection, image.id, side),
        href: hrefWith({ i: image.id }),
        name: fileName(image.path),
      }),
      overlay: (hit) => this.#overlay(hit),
      onOpen: opened(false),
      keys: {
        "+": picked("more"),
        "=": picked("more"),
        "-": picked("less"),
        s: (hit) => askLike(hit.image.id),
        w: opened(true),
      },
    });
    this.status = el("p", { class: "status", role: "status", "aria-live": "polite" });
    this.cost = menu("", [], { id: "cost", align: "end" });
    this.more = el(
      "button",
      { class: "button", type: "button", hidden: true, onclick: () => void this.grow() },
      "Show more",
    );
    this.notes = el("div", { class: "notes" });
    this.place = el("div", { class: "place-holder" });
    this.element = el(
      "section",
      { class: "results", "aria-label": "Results" },
      this.notes, this.grid.element, this.place,
      nearEnd(() => void this.grow()),
      el("div", { class: "grow" }, this.more),
    );
  }

  get hits() {
    return this.answers?.hits ?? [];
  }

  /** Shows the answers of a question, at least `wanted` of them if there are. */
  async show(question, wanted) {
    this.control?.abort();
    this.control = new AbortController();
    const { signal } = this.control;
    const answers = answersOf(question);
    this.answers = answers;
    if (answers.hits.length || answers.done) {
      this.#draw();
      return;
    }
    this.element.setAttribute("aria-busy", "true");
    this.more.hidden = true;
    const slow = setTimeout(() => this.#sayStillAtIt(), SLOW_MS);
    try {
      await busyWhile(answers.more(signal, wanted));
      if (answers === this.answers) this.#draw();
    } catch (problem) {
      if (problem.name !== "AbortError" && answers === this.answers) this.#fail(problem, wanted);
    } finally {
      clearTimeout(slow);
      if (answers === this.answers) this.element.removeAttribute("aria-busy");
    }
  }

  /** One page more, if there is one. */
  async grow() {
    const { answers } = this;
    if (!answers || answers.done || !answers.hits.length || this.growing) return;
    this.growing = true;
    this.more.disabled = true;
    try {
      const hits = await busyWhile(answers.more(this.control.signal));
      if (answers !== this.answers) return;
      this.grid.append(hits);
      this.#count();
      go({ n: answers.hits.length > PAGE ? answers.hits.length : null }, { replace: true });
    } catch (problem) {
      if (problem.name === "AbortError" || answers !== this.answers) return;
      replace(this.place, problemMessage(problem, { retry: () => this.#again() }));
    } finally {
      this.growing = false;
      this.more.disabled = false;
    }
  }

  #again() {
    this.place.replaceChildren();
    void this.grow();
  }

  #draw() {
    const { answers } = this;
    this.place.replaceChildren();
    this.grid.set(answers.hits);
    this.#count();
    this.#note();
    if (!answers.hits.length) replace(this.place, this.#nothing());
  }

  #count() {
    const { answers } = this;
    this.more.hidden = answers.done || !answers.hits.length;
    const { answer, question } = answers;
    if (!answer) {
      const shown = count(answers.hits.length);
      this.status.textContent = answers.done
        ? plural(answers.hits.length, "image")
        : `The first ${shown} images`;
      this.cost.element.hidden = true;
      return;
    }
    const shown = answers.done ? plural(answers.hits.length, "image") : `Best ${count(answers.hits.length)}`;
    const among = `of ${count(answer.matched)}`;
    this.status.textContent = `${shown} ${among}`;
    this.#showCost(answer, question);
  }

  #showCost(answer) {
    const timings = Object.entries(answer.timings_ms);
    const total = timings.reduce((sum, [, ms]) => sum + ms, 0);
    const reranked = answer.rerank.length ? ` + ${answer.rerank.join(", ")}` : "";
    this.cost.element.hidden = false;
    this.cost.label(`${duration(total)}${reranked}`);
    this.cost.content(
      el("p", { class: "menu-title" }, `${plural(answer.searched, "image")} searched`),
      el(
        "dl",
        { class: "timings" },
        timings.map(([stage, ms]) => [el("dt", {}, STAGES[stage] ?? stage), el("dd", {}, duration(ms))]),
        el("dt", {}, "Until shown"),
        el("dd", {}, duration(this.answers.wall_ms)),
      ),
      el("p", { class: "menu-title" }, answer.spaces.join(" + ")),
    );
  }

  #note() {
    const notices = this.answers.answer?.notices ?? [];
    replace(
      this.notes,
      notices.map(({ message: text, code }) => el("p", { class: "inline-notice", data: { code } }, text)),
    );
  }

  #overlay(hit) {
    const { question } = this.answers;
    const tools = tileTools(() => this.answers.question, hit.image, fileName(hit.image.path));
    if (hit.score === undefined || !isAsking(question)) return [tools];
    const told = hit.p === null ? hit.score.toFixed(3) : `${hit.score.toFixed(3)} · by chance ${odds(hit.p)}`;
    return [tools, el("span", { class: "tile-score", "aria-hidden": "true" }, told)];
  }

  #sayStillAtIt() {
    this.grid.set([]);
    this.status.textContent = "Still searching…";
    replace(
      this.place,
      message({
        icon: "search",
        title: "Still searching…",
        body: [el("p", {}, "It takes longer than usual. The first question after a start loads the encoder.")],
        actions: [el("button", { class: "button", type: "button", onclick: () => this.#stop() }, "Stop")],
      }),
    );
  }

  #stop() {
    const { question } = this.answers;
    this.control.abort();
    forgetAnswers();
    this.status.textContent = "Stopped";
    const again = el(
      "button",
      { class: "button", type: "button", onclick: () => void this.show(question, PAGE) },
      "Search again",
    );
    replace(this.place, message({ icon: "search", title: "Stopped", actions: [again] }));
  }

  #fail(problem, wanted) {
    const { question } = this.answers;
    forgetAnswers();
    this.grid.set([]);
    this.notes.replaceChildren();
    this.cost.element.hidden = true;
    this.more.hidden = true;
    this.status.textContent = "";
    const retry = () => void this.show(question, wanted);
    if (problem instanceof PictureMissing) {
      replace(this.place, pictureMissing());
      return;
    }
    replace(this.place, problemMessage(problem, { retry, actions: remedies(problem, question) }));
    if (problem.code === "not_ready") {
      const { answers } = this;
      setTimeout(() => {
        if (answers === this.answers) retry();
      }, RETRY_MS);
    }
  }

  #nothing() {
    const { question } = this.answers;
    const actions = [];
    if (filterCount(question)) {
      actions.push(el("button", { class: "button", type: "button", onclick: () => go(UNFILTERED) }, "Clear filters"));
    }
    if (question.maxFalse) {
      const all = () => go({ sure: null });
      actions.push(el("button", { class: "button", type: "button", onclick: all }, "Show all, however far"));
    }
    return message({
      title: filterCount(question) || question.maxFalse ? "Nothing matches" : "There are no images here yet",
      body: [el("p", {}, why(question))],
      actions,
    });
  }
}

function why(question) {
  if (question.maxFalse) return "No image is so near that it would hardly be by chance.";
  if (filterCount(question)) return "No image of this collection passes the filters.";
  return "Index a folder into it, and they appear.";
}

/** What can be done about a problem, beside trying again. */
function remedies(problem, question) {
  const button = (text, changes) =>
    el("button", { class: "button", type: "button", onclick: () => go(changes) }, text);
  if (problem.code === "where_invalid") return [button("Clear filters", UNFILTERED)];
  const actions = [];
  if (question.picture) actions.push(button("Remove the picture", pictureParams(null)));
  if (question.rerank.length) actions.push(button("Without re-ranking", { rerank: null }));
  if (question.maxFalse) actions.push(button("Show all, however far", { sure: null }));
  return actions;
}

function pictureMissing() {
  return message({
    icon: "image",
    title: "The query picture is not here",
    body: [
      el(
        "p",
        {},
        "This link was made with a picture of somebody's own. Such pictures stay in the browser that "
        + "searched, and this one does not have it. Drop or paste the picture to search with it again.",
      ),
    ],
    actions: [
      el(
        "button",
        { class: "button", type: "button", onclick: () => go(pictureParams(null)) },
        "Go on without it",
      ),
    ],
  });
}
