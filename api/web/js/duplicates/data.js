// Copies: what is asked of the server, and the words for what it answers.
import { get, inCollection, send } from "../core/api.js";

export const RELATIONS = ["same-bytes", "same-pixels", "edited-copy", "same-scene"];
export const RELATION_NAMES = {
  "same-bytes": "Same bytes",
  "same-pixels": "Same pixels",
  "edited-copy": "Edited copy",
  "same-scene": "Same scene",
};
export const RULES = {
  best: "Best: most pixels, then least compressed",
  largest: "Largest file",
  newest: "Newest",
  oldest: "Oldest",
};
const PAGE = 30;

/** The copies of one collection. */
export class Copies {
  constructor(collection) {
    this.collection = collection;
  }

  #at(...parts) {
    return inCollection(this.collection, "duplicates", ...parts);
  }

  /** A page of groups with run and totals; filter: {relation, status, order}. */
  page({ relation, status, order }, after = null, limit = PAGE) {
    return get(this.#at(), { relation, status, order, after, limit });
  }

  group(id) {
    return get(this.#at("groups", id));
  }

  calibration() {
    return get(this.#at("calibration"));
  }

  find(asked) {
    return send("POST", this.#at(), asked);
  }

  judge(verdicts) {
    return send("POST", this.#at("verdicts"), verdicts);
  }

  mark(asked) {
    return send("POST", this.#at("mark"), asked);
  }

  plans() {
    return get(this.#at("plans"));
  }

  makePlan(asked) {
    return send("POST", this.#at("plans"), asked);
  }

  plan(id, after = null) {
    return get(this.#at("plans", id), { after, limit: 200 });
  }

  act(id, verb) {
    return send("POST", this.#at("plans", id, verb));
  }
}

/** What relates a member to the first of its group, in words. */
export function proofText({ relation, evidence, hash_bits: bits, protected: stays }) {
  if (!relation) return stays ? "first, stays" : "first";
  const words = [RELATION_NAMES[relation] ?? relation];
  if (evidence) {
    words.push(`${Math.round(evidence.agreement * 100)} % agree`);
    if (evidence.area < 0.95) words.push(`over ${Math.round(evidence.area * 100)} % of the first`);
    else if (evidence.other_area < 0.95) words.push(`the first is ${Math.round(evidence.other_area * 100)} % of it`);
    if (evidence.mirrored) words.push("mirrored");
  } else if (bits !== null && relation !== "same-bytes") {
    words.push(`${bits} bits of the hash differ`);
  }
  if (stays) words.push("stays");
  return words.join(" · ");
}
