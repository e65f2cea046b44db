// Answers of a question, page by page.
import { get, inCollection, send, sendForm } from "../core/api.js";
import { findPicture } from "./pictures.js";
import { isAsking, requestOf, sameAnswer, whereOf } from "./question.js";

export const PAGE = 48;
const MOST_AT_ONCE = 240;
const KEPT = 12;
const kept = new Map();

/** A query picture that this browser does not have. */
export class PictureMissing extends Error {}

/**
 * The answers of one question: `hits` grows with `more()`.
 *
 * A hit: {rank, score, p, ranked_by, image}; of a collection that is only looked through, {image}.
 * `answer` is the API's last document, `done` whether all is there, `wall_ms` the time that it took.
 */
class Answers {
  constructor(question) {
    this.question = question;
    this.hits = [];
    this.answer = null;
    this.done = false;
    this.wall_ms = 0;
    this.next = null;
    this.#loading = null;
  }

  #loading;

  /** The next page is there; resolves to its hits. Calls while it loads get the same promise. */
  more(signal, wanted = PAGE) {
    if (this.done) return Promise.resolve([]);
    this.#loading ??= this.#load(signal, wanted).finally(() => {
      this.#loading = null;
    });
    return this.#loading;
  }

  async #load(signal, wanted) {
    const began = performance.now();
    const k = Math.min(Math.max(PAGE, wanted), MOST_AT_ONCE);
    const hits = isAsking(this.question) ? await this.#ask(k, signal) : await this.#list(k, signal);
    this.wall_ms = performance.now() - began;
    this.hits.push(...hits);
    return hits;
  }

  async #ask(k, signal) {
    const { question } = this;
    const path = inCollection(question.collection, "search");
    const body = requestOf(question, k, this.next);
    this.answer =
      question.picture?.kind === "upload"
        ? await sendForm(path, await formOf(question, body), { signal })
        : await send("POST", path, body, { signal });
    this.next = this.answer.next_cursor;
    this.done = this.next === null;
    return this.answer.hits;
  }

  async #list(k, signal) {
    const { question } = this;
    const path = inCollection(question.collection, "images");
    const page = await get(path, { where: whereOf(question), limit: k, after: this.next }, { signal });
    this.next = page.next_after;
    this.done = this.next === null;
    return page.images.map((image) => ({ image }));
  }
}

/** A form of a question and its query picture. Rejects with PictureMissing. */
export async function formOf(question, body) {
  const picture = await findPicture(question.picture.id);
  if (!picture) throw new PictureMissing();
  const form = new FormData();
  form.append("request", JSON.stringify(body));
  form.append("image", picture.blob, picture.name || "picture");
  return form;
}

/**
 * The answers of a question. Those of the last few questions are kept, so that Back is instant.
 * fresh: asked anew.
 */
export function answersOf(question, { fresh = false } = {}) {
  const key = sameAnswer(question);
  const found = (!fresh && kept.get(key)) || new Answers(question);
  kept.delete(key);
  kept.set(key, found);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  return found;
}

/** Kept answers are forgotten: something has changed. */
export function forgetAnswers() {
  kept.clear();
}
