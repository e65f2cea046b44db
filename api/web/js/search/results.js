// The answers: a grid that grows, what it cost, and what to say when there is nothing to show.
import { thumbnailUrl } from "../core/api.js";
import { el, replace } from "../core/dom.js";
import { count, duration, fileName, odds, plural } from "../core/format.js";
import { JustifiedGrid, watchEnd } from "../core/grid.js";
import { menu } from "../core/menu.js";
import { busyWhile, message, problemMessage } from "../core/messages.js";
import { go, hrefWith } from "../core/url.js";
import { PAGE, PictureMissing, answersOf, forgetAnswers } from "./answers.js";
import { rerankerName } from "./options.js";
import { askLike, pick, tileTools } from "./picks.js";
import { isAsking } from "./question.js";
import { nothingFound, pictureMissing, remedies } from "./says.js";

const SLOW_MS = 2500;
const RETRY_MS = 1500;
const RERANK = "rerank:";
const STAGES = {
  encode: "Read the question", filter: "Apply the filter", recall: "Find candidates",
  rank: "Score exactly", facts: "Fetch the facts", calibrate: "Estimate chance",
};

/** The answers of one question after another; `onOpen(image, why)` is called for a chosen one. */
export class Results {
  /** above: what stands over the grid, beside the filters. */
  constructor({ onOpen, above = null }) {
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
    this.cost.element.hidden = true;
    this.more = el(
      "button",
      { class: "button", type: "button", hidden: true, onclick: () => void this.grow() },
      "Show more",
    );
    this.end = watchEnd(() => void this.grow());
    this.notes = el("div", { class: "notes" });
    this.place = el("div", { class: "place-holder" });
    this.element = el(
      "section",
      { class: "results", "aria-label": "Results" },
      above, this.notes, this.grid.element, this.place,
      this.end.element,
      el("div", { class: "grow" }, this.more),
    );
  }

  /** Those that are shown; while a question is asked, still the ones before. */
  get hits() {
    return this.grid.items;
  }

  /** Shows the answers of a question, at least `wanted` of them if there are; fresh: asked anew. */
  async show(question, wanted, { fresh = false } = {}) {
    this.control?.abort();
    this.control = new AbortController();
    const { signal } = this.control;
    const answers = answersOf(question, { fresh });
    this.answers = answers;
    if (answers.hits.length || answers.done) {
      this.#draw();
      return;
    }
    this.element.setAttribute("aria-busy", "true");
    this.more.hidden = true;
    this.cost.close();
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
      this.end.look();
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
    const focused = this.grid.element.contains(document.activeElement);
    this.grid.set(answers.hits);
    if (focused) this.grid.focusAt(0);
    this.#count();
    this.#note();
    this.end.look();
    if (!answers.hits.length) replace(this.place, nothingFound(answers.question));
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
    const reranking = timings.filter(([stage]) => stage.startsWith(RERANK));
    const reranked = reranking.reduce((sum, [, ms]) => sum + ms, 0);
    this.cost.element.hidden = false;
    this.cost.label(
      answer.rerank.length ? `${duration(total)}, ${duration(reranked)} of it re-ranking` : duration(total),
    );
    this.cost.content(
      el("p", { class: "menu-title" }, `${plural(answer.searched, "image")} searched`),
      el(
        "dl",
        { class: "timings" },
        timings.map(([stage, ms]) => [el("dt", {}, stageName(stage)), el("dd", {}, duration(ms))]),
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
    this.cost.element.hidden = true;
    this.status.textContent = "Still searching…";
    const patches = this.answers.question.rerank.includes("patches");
    replace(
      this.place,
      message({
        icon: "search",
        title: "Still searching…",
        body: [
          el(
            "p",
            {},
            patches
              ? "Comparing piece by piece reads each file once; the next time is quicker."
              : "It takes longer than usual. The first question after a start loads the encoder.",
          ),
        ],
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
}

function stageName(stage) {
  if (stage.startsWith(RERANK)) return `Re-rank: ${rerankerName(stage.slice(RERANK.length))}`;
  return STAGES[stage] ?? stage;
}
