// The line on which a question is asked: words, a picture, and what was picked.
import { thumbnailUrl } from "../core/api.js";
import { el, replace } from "../core/dom.js";
import { icon } from "../core/icons.js";
import { isPictureUrl } from "./intake.js";
import { FRESH, pictureParams } from "./question.js";
import { go, params } from "../core/url.js";

/**
 * The bar. onFile(blob, name), onUrl(url): a picture was chosen or typed; onCrop(): its part is to be
 * chosen. onAgain(): the same question was asked once more. `show(question, preview)` draws it.
 */
export class QueryBar {
  constructor({ onFile, onUrl, onCrop, onAgain }) {
    this.onUrl = onUrl;
    this.onAgain = onAgain;
    this.onCrop = onCrop;
    this.words = el("input", {
      id: "words", class: "words", type: "text", name: "q", autocomplete: "off",
      "aria-label": "Search by words, or paste a picture or its address", spellcheck: "false",
      autocapitalize: "off", enterkeyhint: "search", maxlength: 2000,
      placeholder: "Words, or drop or paste a picture",
    });
    this.file = el("input", {
      type: "file", accept: "image/*,.heic,.heif,.avif,.tif,.tiff", hidden: true, id: "file",
      onchange: () => {
        const [file] = this.file.files;
        if (file) onFile(file, file.name);
        this.file.value = "";
      },
    });
    this.picture = el("div", { class: "query-picture", hidden: true });
    this.picks = el("ul", { class: "picks", "aria-label": "Picked images", hidden: true });
    this.element = el(
      "div",
      { class: "bar" },
      el(
        "form",
        { class: "bar-line", role: "search", onsubmit: (event) => this.#submitted(event) },
        this.picture,
        this.words,
        this.file,
        el(
          "button",
          {
            class: "button quiet icon", type: "button", "aria-label": "Search by a picture", id: "choose",
            title: "Search by a picture", onclick: () => this.file.click(),
          },
          icon("image"),
        ),
        el(
          "button",
          { class: "button primary", type: "submit", "aria-label": "Search" },
          icon("search"),
          el("span", { class: "wide" }, "Search"),
        ),
      ),
      this.picks,
    );
  }

  focus() {
    this.words.focus({ preventScroll: true });
    this.words.select();
  }

  /** preview: address of a small picture of the query picture, or null; name: what it is called. */
  show(question, { preview = null, name = "" } = {}) {
    if (document.activeElement !== this.words || this.words.value.trim() !== question.words) {
      this.words.value = question.words;
    }
    this.#showPicture(question, preview, name);
    this.#showPicks(question);
    this.words.placeholder = question.picture
      ? "Add words"
      : "Words, or drop or paste a picture";
  }

  #submitted(event) {
    event.preventDefault();
    const words = this.words.value.trim();
    if (isPictureUrl(words)) {
      this.words.value = "";
      this.onUrl(words);
      return;
    }
    const again = words === (params().get("q") ?? "").trim();
    go({ q: words, ...FRESH }, { replace: again });
    if (again) this.onAgain();
    this.words.blur();
  }

  #showPicture(question, preview, name) {
    this.picture.hidden = !question.picture;
    if (!question.picture) {
      this.picture.replaceChildren();
      return;
    }
    const image = preview
      ? el("img", { src: preview, alt: "" })
      : el("span", { class: "no-preview" }, icon("image"));
    if (preview && question.crop) cropped(image, question.crop);
    const cropLabel = question.crop ? "Change the part that counts" : "Use only a part of the picture";
    replace(
      this.picture,
      el(
        "button",
        {
          class: "query-thumb", type: "button", id: "crop", "aria-label": `${name || "Query picture"}: ${cropLabel}`,
          title: cropLabel, onclick: () => this.onCrop(),
        },
        el("span", { class: "query-image" }, image),
        el("span", { class: "query-crop" }, icon("crop")),
      ),
      el(
        "button",
        {
          class: "button quiet icon small", type: "button", "aria-label": "Remove the picture",
          title: "Remove the picture", id: "no-picture",
          onclick: () => {
            go(pictureParams(null));
            this.words.focus();
          },
        },
        icon("close"),
      ),
    );
  }

  #showPicks(question) {
    const chips = [
      ...question.more.map((id) => this.#pick(question, id, "more")),
      ...question.less.map((id) => this.#pick(question, id, "less")),
    ];
    this.picks.hidden = chips.length === 0;
    if (chips.length > 1) {
      chips.push(
        el(
          "li",
          {},
          el(
            "button",
            { class: "button quiet small", type: "button", onclick: () => go({ more: null, less: null, ...FRESH }) },
            "Clear picks",
          ),
        ),
      );
    }
    replace(this.picks, chips);
  }

  #pick(question, id, kind) {
    const label = kind === "more" ? "More of this" : "Less of this";
    const left = question[kind].filter((each) => each !== id);
    return el(
      "li",
      { class: `chip ${kind}`, data: { pick: id } },
      el("img", { src: thumbnailUrl(question.collection, id, 48), alt: "", width: 24, height: 24 }),
      el("span", {}, label),
      el(
        "button",
        {
          type: "button", "aria-label": `No longer: ${label.toLowerCase()}, image ${id}`,
          onclick: () => go({ [kind]: left.join(","), ...FRESH }),
        },
        icon("close"),
      ),
    );
  }
}

/** Shows only a part of an image that fills its box. */
function cropped(image, [left, top, right, bottom]) {
  const width = right - left;
  const height = bottom - top;
  Object.assign(image.style, {
    width: `${100 / width}%`,
    height: `${100 / height}%`,
    left: `${(-100 * left) / width}%`,
    top: `${(-100 * top) / height}%`,
    objectFit: "fill",
  });
}
