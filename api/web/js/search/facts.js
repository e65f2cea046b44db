// What is known of an image, as a list; and its tags, which can be changed.
import { inCollection, send } from "../core/api.js";
import { append, el, replace } from "../core/dom.js";
import { bytes, count, when } from "../core/format.js";
import { icon } from "../core/icons.js";
import { hrefWith } from "../core/url.js";
import { pictureParams } from "./question.js";

const NEAR_KM = 10;

/** The facts of an image. Filters that it could be found by are links. */
export function factList(image) {
  const rows = [];
  const fact = (label, ...value) => rows.push(el("dt", {}, label), el("dd", {}, value));
  if (image.taken_at) {
    const day = image.taken_at.slice(0, 10);
    fact("Taken", narrowed(when(image.taken_at), { taken: `taken:${day}` }, "Images of this day"));
  }
  const camera = [image.camera_make, image.camera_model].filter(Boolean);
  if (camera.length) {
    const name = camera.length > 1 && camera[1].startsWith(camera[0]) ? camera[1] : camera.join(" ");
    fact("Camera", narrowed(name, { camera: `camera:${quoted(camera.join(" "))}` }, "Images of this camera"));
  }
  if (image.lens) fact("Lens", image.lens);
  if (image.latitude !== null && image.longitude !== null) {
    const place = `${image.latitude.toFixed(4)}, ${image.longitude.toFixed(4)}`;
    const near = `near:${image.latitude.toFixed(5)},${image.longitude.toFixed(5)},${NEAR_KM}km`;
    fact("Place", narrowed(place, { place: near }, `Images within ${NEAR_KM} km`));
  }
  if (image.width) fact("Size", `${count(image.width)} × ${count(image.height)}`);
  const file = [image.format?.toUpperCase(), image.size === null ? null : bytes(image.size)].filter(Boolean);
  if (file.length) fact("File", file.join(", "));
  fact("Added", when(image.added_at));
  for (const [name, value] of Object.entries(image.fields)) fact(name, String(value));
  fact("Number", String(image.id));
  return el("dl", { class: "facts" }, rows);
}

/** A link to the images that share a fact, instead of the question. */
export function narrowed(text, filter, title) {
  const changes = { ...pictureParams(null), q: null, more: null, less: null, ...filter };
  return el("a", { href: hrefWith(changes), title, data: { go: true } }, text);
}

/** A text as a filter's value that means just itself. */
export function quoted(text) {
  return `"${text.replace(/[*?"\\]/g, "\\$&")}"`;
}

/** The tags of an image; where they may be changed, with a field for more. onChange(image). */
export function tagEditor(collection, image, { mayWrite, onChange }) {
  const list = el("ul", { class: "tags", "aria-label": "Tags" });
  const problem = el("p", { class: "inline-problem", role: "alert", hidden: true });
  const element = el("div", { class: "tag-editor" }, el("h3", {}, "Tags"), list);
  const input = el("input", {
    class: "field", type: "text", name: "tag", placeholder: "Add a tag", "aria-label": "Add a tag",
    maxlength: 200, autocomplete: "off", autocapitalize: "off", spellcheck: "false",
  });

  const change = async (body) => {
    problem.hidden = true;
    try {
      const changed = await send("PATCH", inCollection(collection, "images", image.id), body);
      image.tags = changed.tags;
      show();
      onChange(changed);
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
  };
  const show = () => {
    const shown = image.tags.map((tag) =>
      append(
        el("li", { class: "chip" }),
        el("span", {}, narrowed(tag, { tag: `tag:${quoted(tag)}` }, `Images with the tag ${tag}`)),
        mayWrite
          ? el(
              "button",
              {
                type: "button", "aria-label": `Remove the tag ${tag}`,
                onclick: () => {
                  input.focus();
                  void change({ remove: [tag] });
                },
              },
              icon("close"),
            )
          : null,
      ),
    );
    if (!shown.length && !mayWrite) shown.push(el("li", { class: "none" }, "None"));
    replace(list, shown);
  };
  show();
  if (!mayWrite) return element;
  const added = (event) => {
    event.preventDefault();
    const tag = input.value.trim();
    if (!tag) return;
    input.value = "";
    void change({ add: [tag] });
  };
  append(
    element,
    el("form", { class: "tag-form", onsubmit: added }, input, el("button", { class: "button", type: "submit" }, "Add")),
    problem,
  );
  return element;
}
