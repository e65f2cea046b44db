// A question, and how it is written into the page's address and into a request.
//
// {collection, words, picture, crop, more, less, facets, where, rerank, maxFalse, space}
// picture: null, {kind: "upload", id}, {kind: "url", url} or {kind: "stored", id}.
// crop: null or [left, top, right, bottom] in 0..1. more, less: ids of picked images.
// facets: {taken: ["taken:2019", …], …}, filters by facet.

export const FACETS = ["taken", "camera", "place", "folder", "size", "format", "tag"];

/** How much picks count beside a question, as Rocchio (1971) has it: β and γ of his formula. */
const MORE = 0.75;
const LESS = 0.35;

/** The question of an address. */
export function readQuestion(params, collection) {
  return {
    collection,
    words: (params.get("q") ?? "").trim(),
    picture: readPicture(params),
    crop: readCrop(params.get("crop")),
    more: readIds(params.get("more")),
    less: readIds(params.get("less")),
    facets: Object.fromEntries(FACETS.map((name) => [name, params.getAll(name)])),
    where: params.get("where") ?? "",
    rerank: (params.get("rerank") ?? "").split(",").filter(Boolean),
    maxFalse: Number(params.get("sure")) || null,
    space: params.get("space"),
  };
}

function readPicture(params) {
  const stored = params.get("like");
  if (stored && /^\d+$/.test(stored)) return { kind: "stored", id: Number(stored) };
  if (params.get("url")) return { kind: "url", url: params.get("url") };
  if (params.get("picture")) return { kind: "upload", id: params.get("picture") };
  return null;
}

function readIds(text) {
  return (text ?? "").split(",").filter((each) => /^\d+$/.test(each)).map(Number);
}

function readCrop(text) {
  const found = (text ?? "").split(",").map(Number);
  if (found.length !== 4 || !found.every((each) => each >= 0 && each <= 1)) return null;
  return found[0] < found[2] && found[1] < found[3] ? found : null;
}

/** The changes of an address that ask with this picture, or without one. */
export function pictureParams(picture, crop = null) {
  return {
    like: picture?.kind === "stored" ? picture.id : null,
    url: picture?.kind === "url" ? picture.url : null,
    picture: picture?.kind === "upload" ? picture.id : null,
    crop: crop ? crop.map((each) => Number(each.toFixed(4))).join(",") : null,
    ...FRESH,
  };
}

/** The changes that every new question brings along: nothing of the last answer stays open. */
export const FRESH = { n: null, i: null, why: null };

/** Takes every filter away. */
export const UNFILTERED = { ...Object.fromEntries(FACETS.map((name) => [name, null])), where: null, ...FRESH };

/** Words and what they are not to be: `night -people -"red car"` → {text, not: [...]} */
export function parseWords(words) {
  const not = [];
  const text = words.replace(/(^|\s)-(?:"([^"]+)"|(\p{L}[^\s"]*))/gu, (_all, _before, phrase, word) => {
    not.push(phrase ?? word);
    return " ";
  });
  return { text: text.replace(/\s+/g, " ").trim(), not };
}

/** The filter of a question: facets of one kind are alternatives, all else must be met together. */
export function whereOf(question) {
  const parts = [];
  for (const values of Object.values(question.facets)) {
    const each = values.map((value) => (/\s/.test(value) ? `(${value})` : value));
    if (each.length === 1) parts.push(/\bOR\b/.test(values[0]) ? each[0] : values[0]);
    if (each.length > 1) parts.push(`(${each.join(" OR ")})`);
  }
  const typed = question.where.trim();
  if (typed) parts.push(parts.length && /\bOR\b/.test(typed) ? `(${typed})` : typed);
  return parts.join(" ") || null;
}

/** Whether anything is asked for, or the collection just looked through. */
export function isAsking(question) {
  return Boolean(question.words || question.picture || question.more.length || question.less.length);
}

/** How many filters are set. */
export function filterCount(question) {
  const chosen = Object.values(question.facets).reduce((sum, values) => sum + values.length, 0);
  return chosen + (question.where.trim() ? 1 : 0);
}

/** The terms of a request. An upload is its first `image` part. */
export function termsOf(question) {
  const { text, not } = parseWords(question.words);
  const terms = [];
  if (text) terms.push({ text });
  const crop = question.crop ? { crop: question.crop } : {};
  switch (question.picture?.kind) {
    case "upload":
      terms.push({ upload: 0, ...crop });
      break;
    case "url":
      terms.push({ url: question.picture.url, ...crop });
      break;
    case "stored":
      terms.push({ id: question.picture.id });
      break;
  }
  const weight = terms.length ? MORE : 1;
  for (const id of question.more) terms.push({ id, weight: weight / question.more.length });
  for (const id of question.less) terms.push({ id, weight: -LESS / question.less.length });
  for (const text_ of not) terms.push({ text: text_, weight: -0.5 });
  return terms;
}

/** The question as the API takes it, for a page of k answers. */
export function requestOf(question, k, after = null) {
  return {
    terms: termsOf(question),
    k,
    after,
    where: whereOf(question),
    rerank: question.rerank,
    max_false: question.maxFalse,
    space: question.space,
  };
}

/** Equal for questions with equal answers. */
export function sameAnswer(question) {
  return JSON.stringify(question);
}
