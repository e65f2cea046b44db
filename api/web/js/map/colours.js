// Colours of points: by cluster, time, folder or the score of a search; and their legends.
import { count, when } from "../core/format.js";

export const WAYS = { cluster: "Cluster", time: "Time", folder: "Folder", score: "Search score" };
const NONE = [150, 152, 160];
const LISTED = 14;
const RAMP = [[68, 57, 131], [49, 104, 142], [33, 145, 140], [94, 201, 98], [244, 212, 48]];

/** A colour of the ramp, 0..1 → [r, g, b]. */
export function ramp(share) {
  const at = Math.min(0.9999, Math.max(0, share)) * (RAMP.length - 1);
  const from = Math.floor(at);
  return RAMP[from].map((low, part) => Math.round(low + (RAMP[from + 1][part] - low) * (at - from)));
}

/** Colours that differ as long as can be: the hue turns by the golden angle. */
export function distinct(number) {
  const hue = (number * 137.508) % 360;
  const light = [0.52, 0.42, 0.6][number % 3];
  const chroma = (1 - Math.abs(2 * light - 1)) * 0.62;
  const part = (n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (light - (chroma / 2) * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [part(0), part(8), part(4)];
}

const packed = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;

/**
 * {colours: Uint32Array of ABGR by point, legend}.
 *
 * legend: {items: [{label, colour, count, rows()}]} or {ramp: [colours], from, to}.
 * scores: Map of id → score, of a search.
 */
export function coloured(points, way, scores = null) {
  if (way === "time") return byTime(points);
  if (way === "score") return byScore(points, scores ?? new Map());
  const clusters = way === "cluster";
  const groups = clusters ? points.cluster : points.folder;
  const name = clusters
    ? (group) => (group ? points.header.clusters[group - 1] ?? `Cluster ${group - 1}` : "In none")
    : (group) => points.header.folders[group] || "/";
  const sizes = new Uint32Array(65536);
  for (const group of groups) sizes[group] += 1;
  const order = [...sizes.keys()].filter((group) => sizes[group]).sort((a, b) => sizes[b] - sizes[a]);
  const table = new Uint32Array(65536);
  const colourOf = new Map();
  order.forEach((group, rank) => {
    const colour = clusters && group === 0 ? NONE : distinct(rank);
    colourOf.set(group, colour);
    table[group] = packed(colour);
  });
  const items = order.slice(0, LISTED).map((group) => ({
    label: name(group), colour: css(colourOf.get(group)), count: sizes[group],
    rows: () => rowsWhere(groups, group),
  }));
  const rest = order.length - items.length;
  return { colours: Uint32Array.from(groups, (group) => table[group]), legend: { items, more: rest > 0 ? `${count(rest)} more` : null } };
}

function rowsWhere(groups, wanted) {
  const rows = [];
  groups.forEach((group, row) => {
    if (group === wanted) rows.push(row);
  });
  return rows;
}

function byTime({ time, header }) {
  const colours = Uint32Array.from(time, (moment) => packed(moment ? ramp((moment - 1) / 65534) : NONE));
  const [from, to] = header.times ?? [];
  return {
    colours,
    legend: from
      ? { ramp: rampCss(), from: when(from, { time: false }), to: when(to, { time: false }) }
      : { items: [{ label: "No image says when it was taken", colour: css(NONE), count: time.length, rows: () => [] }] },
  };
}

function byScore({ ids, count: n }, scores) {
  const values = [...scores.values()];
  const low = Math.min(...values);
  const high = Math.max(...values);
  const colours = new Uint32Array(n);
  const faint = packed(NONE);
  for (let row = 0; row < n; row += 1) {
    const score = scores.get(ids[row]);
    colours[row] = score === undefined ? faint : packed(ramp((score - low) / (high - low || 1)));
  }
  return {
    colours,
    legend: values.length
      ? { ramp: rampCss(), from: low.toFixed(2), to: high.toFixed(2) }
      : { items: [{ label: "Search above to colour by score", colour: css(NONE), count: n, rows: () => [] }] },
  };
}

function rampCss() {
  return `linear-gradient(90deg, ${RAMP.map(css).join(", ")})`;
}
