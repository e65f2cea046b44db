// Clusters: what is asked of the server, and facts in words.
import { get, inCollection, send } from "../core/api.js";
import { fileName, when } from "../core/format.js";

export const METHODS = {
  leiden: "Communities of alike images", kmeans: "A given number (k-means)",
  hdbscan: "Dense regions only (HDBSCAN)", events: "By time and place",
};
const PAGE = 80;

/** The clusters of one collection. */
export class Clusters {
  constructor(collection) {
    this.collection = collection;
  }

  #at(...parts) {
    return inCollection(this.collection, "clusters", ...parts);
  }

  async runs() {
    return (await get(this.#at("runs"))).runs;
  }

  run(id) {
    return get(this.#at("runs", id), { typical: 4 });
  }

  async groups(id, level) {
    const { levels } = await get(this.#at("runs", id, "hierarchy"), { groups: level });
    return levels[0].groups;
  }

  cluster(id, number) {
    return get(this.#at("runs", id, "clusters", number), { typical: 1, marginal: 0 });
  }

  members(id, number, order, after = 0) {
    return get(this.#at("runs", id, "clusters", number, "members"), { order, after, limit: PAGE });
  }

  rename(id, number, name) {
    return send("PATCH", this.#at("runs", id, "clusters", number), { name });
  }

  make(asked) {
    return send("POST", this.#at("runs"), asked);
  }

  merge(id, clusters) {
    return send("POST", this.#at("runs", id, "merge"), { clusters });
  }

  split(id, cluster, parts) {
    return send("POST", this.#at("runs", id, "split"), { cluster, parts });
  }

  extend(id) {
    return send("POST", this.#at("runs", id, "extend"));
  }

  survey() {
    return send("POST", this.#at("survey"), {});
  }

  /** which: "outliers" or "near-empty". */
  standing(which, after = 0) {
    return get(this.#at(which), { after, limit: PAGE });
  }
}

/** When a cluster's images were taken, by what, and where they lie. */
export function factsText({ first, last, cameras, folders }) {
  const parts = [];
  if (first) {
    const [from, to] = [first, last].map((text) => when(text, { time: false }));
    parts.push(from === to ? from : `${from} – ${to}`);
  }
  if (cameras.length) parts.push(cameras[0]);
  if (folders.length) parts.push(fileName(folders[0]) || folders[0]);
  return parts.join(" · ");
}
