// Why an image matched: the region that both pictures share, and where the encoder looked.
import { get, inCollection, send, sendForm, thumbnailUrl } from "../core/api.js";
import { append, el, replace, svg } from "../core/dom.js";
import { fileName, share } from "../core/format.js";
import { icon } from "../core/icons.js";
import { formOf } from "./answers.js";
import { previewOf } from "./previews.js";

const CONVINCING = 10;
const MOST_DOTS = 60;
const GOLDEN = 137.508;

/** The picture that a question asks with, or null: words have no place in an image. */
export function askedPicture(question) {
  if (question.picture) return { picture: question.picture, crop: question.crop };
  if (question.more.length) return { picture: { kind: "stored", id: question.more[0] }, crop: null };
  return null;
}

/** The explanation, as JSON or (as: "blob") as a picture. Rejects with Problem, PictureMissing. */
export function explained(question, imageId, options = {}) {
  const { picture, crop } = askedPicture(question);
  const path = inCollection(question.collection, "images", imageId, "explain");
  const view = options.as === "blob" ? "picture" : "document";
  if (picture.kind === "stored") {
    return get(path, { query_id: picture.id, space: question.space, view }, options);
  }
  const place = crop ? { crop } : {};
  const asked = `${path}?view=${view}`;
  if (picture.kind === "url") {
    return send("POST", asked, { terms: [{ url: picture.url, ...place }], space: question.space }, options);
  }
  const body = { terms: [{ upload: 0, ...place }], space: question.space };
  return formOf({ ...question, picture }, body).then((form) => sendForm(asked, form, options));
}

/** The view, filled as its parts arrive. signal: it is no longer wanted. */
export async function whyView(question, hit, signal) {
  const { image } = hit;
  const asked = askedPicture(question);
  if (!asked) return onlyWords(question, hit);
  const [found, preview] = await Promise.all([
    explained(question, image.id, { signal }),
    previewOf(asked.picture, question.collection),
  ]);
  const layers = { region: true, matches: true, attention: false };
  const left = picture(preview.src, asked.crop, "The query");
  const right = picture(thumbnailUrl(question.collection, image.id, 1024), null, fileName(image.path));
  const draw = () => {
    drawLayer(left, found, layers, "query");
    drawLayer(right, found, layers, "candidate");
  };
  draw();
  const toggle = (name, label, able) =>
    el(
      "button",
      {
        class: "button small", type: "button", "aria-pressed": String(layers[name] && able), disabled: !able,
        data: { layer: name },
        onclick: (event) => {
          layers[name] = !layers[name];
          event.currentTarget.setAttribute("aria-pressed", String(layers[name]));
          draw();
        },
      },
      label,
    );
  const verified = found.matches.filter((match) => match.verified).length;
  return el(
    "div",
    { class: "why" },
    el("p", { class: "why-verdict", role: "status" }, verdict(found, verified)),
    el("div", { class: "why-pictures" }, left.element, right.element),
    el(
      "div",
      { class: "why-tools" },
      toggle("region", "Shared region", found.region !== null),
      toggle("matches", "Matching pieces", found.matches.length > 0),
      toggle("attention", "Where it looked", found.attention !== null),
      el(
        "button",
        { class: "button quiet small", type: "button", onclick: (event) => void save(event, question, image) },
        icon("download"), "Save as a picture",
      ),
    ),
    found.missing.map((text) => el("p", { class: "inline-notice" }, text)),
    el("p", { class: "why-small" }, chance(hit), ` ${found.encoder}.`),
  );
}

function verdict(found, verified) {
  if (!found.region) {
    return "The two share no region under one geometric map: they are alike in kind, not the same thing.";
  }
  const mirrored = found.region.mirrored ? ", mirrored" : "";
  const pieces = `${verified} pieces agree on one place${mirrored}`;
  if (found.evidence >= CONVINCING) return `The same thing or the same picture: ${pieces}.`;
  return `Perhaps the same thing: ${pieces}, which is little evidence.`;
}

function chance(hit) {
  if (hit.p === null || hit.p === undefined) {
    return hit.score === undefined ? "" : `Similarity ${hit.score.toFixed(3)}.`;
  }
  return `Similarity ${hit.score.toFixed(3)}; a match this good arises by chance in ${share(hit.p)} searches.`;
}

function onlyWords(question, hit) {
  const told = hit.score === undefined
    ? "The collection is only being looked through: nothing was asked."
    : `It is as near to “${question.words}” as the encoder's similarity of ${hit.score.toFixed(3)} says. `
      + "Words have no place in an image, so there is no region to show. Search by a picture to see one.";
  return el("div", { class: "why" }, el("p", { class: "why-verdict" }, told));
}

/** A picture with a layer over it. */
function picture(src, crop, caption) {
  const layer = svg("svg", { class: "why-layer", viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  const heat = el("canvas", { class: "why-heat", hidden: true });
  const shown = el("div", { class: "why-frame" });
  const element = el("figure", { class: "why-picture" }, shown, el("figcaption", { title: caption }, caption));
  if (!src) {
    append(shown, el("div", { class: "crop-blank" }, "This picture cannot be shown."), layer);
  } else if (crop) {
    append(shown, croppedPicture(src, crop), heat, layer);
  } else {
    append(shown, el("img", { src, alt: caption }), heat, layer);
  }
  return { element, layer, heat };
}

function croppedPicture(src, [left, top, right, bottom]) {
  const canvas = el("canvas", { class: "why-cropped", role: "img", "aria-label": "The part of the query" });
  const image = new Image();
  image.onload = () => {
    const { naturalWidth: width, naturalHeight: height } = image;
    canvas.width = Math.max(1, Math.round((right - left) * width));
    canvas.height = Math.max(1, Math.round((bottom - top) * height));
    canvas.getContext("2d").drawImage(image, -left * width, -top * height);
  };
  image.src = src;
  return canvas;
}

function drawLayer({ layer, heat }, found, layers, side) {
  const parts = [];
  if (layers.region && found.region) {
    const corners = side === "query" ? cornersOf(found.region.query) : found.region.candidate;
    const points = corners.map(([x, y]) => `${x},${y}`).join(" ");
    parts.push(svg("polygon", { class: "region-under", points }), svg("polygon", { class: "region", points }));
  }
  if (layers.matches) {
    const verified = found.matches.filter((match) => match.verified);
    const shown = (verified.length ? verified : found.matches)
      .toSorted((one, other) => other.likeness - one.likeness)
      .slice(0, MOST_DOTS);
    shown.forEach((match, at) => {
      const [x, y] = match[side];
      // Lines of no length with round ends: dots that stay round however the layer is stretched.
      parts.push(
        svg("path", { class: "dot-under", d: `M${x} ${y}h0` }),
        svg("path", { class: "dot", d: `M${x} ${y}h0`, stroke: `hsl(${(at * GOLDEN) % 360} 90% 60%)` }),
      );
    });
  }
  replace(layer, parts);
  heat.hidden = !(side === "query" && layers.attention && found.attention);
  if (!heat.hidden) drawHeat(heat, found.attention);
}

function cornersOf([left, top, right, bottom]) {
  return [[left, top], [right, top], [right, bottom], [left, bottom]];
}

function drawHeat(canvas, { box, map }) {
  canvas.width = map[0].length;
  canvas.height = map.length;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(canvas.width, canvas.height);
  map.flat().forEach((value, at) => {
    pixels.data.set([255, Math.round(90 + 130 * value), 20, Math.round(225 * value ** 0.8)], at * 4);
  });
  context.putImageData(pixels, 0, 0);
  const [left, top, right, bottom] = box;
  Object.assign(canvas.style, {
    left: `${left * 100}%`, top: `${top * 100}%`,
    width: `${(right - left) * 100}%`, height: `${(bottom - top) * 100}%`,
  });
}

async function save(event, question, image) {
  const button = event.currentTarget;
  button.disabled = true;
  try {
    const url = URL.createObjectURL(await explained(question, image.id, { as: "blob" }));
    el("a", { href: url, download: `why-${image.id}.png` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  } finally {
    button.disabled = false;
  }
}
