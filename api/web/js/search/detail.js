// One image, large, with everything known of it; and why it matched.
import { fileUrl, get, inCollection, thumbnailUrl } from "../core/api.js";
import { el, replace } from "../core/dom.js";
import { fileName, folderName, odds } from "../core/format.js";
import { icon } from "../core/icons.js";
import { onKeys } from "../core/keys.js";
import { problemMessage, toast } from "../core/messages.js";
import { go } from "../core/url.js";
import { PictureMissing } from "./answers.js";
import { factList, narrowed, quoted, tagEditor } from "./facts.js";
import { askLike, pickChanges } from "./picks.js";
import { pictureParams } from "./question.js";
import { whyView } from "./why.js";

const SHOWN_BY_BROWSERS = ["jpeg", "png", "webp", "gif", "avif", "bmp"];
const LARGEST_FILE = 25 * 2 ** 20;

/**
 * The dialog of one image. hits(): those that it can be left for. onTags(image): its tags changed.
 * onClosed(id): it was closed. `sync` opens, changes or closes it, as the address says.
 */
export class Detail {
  constructor({ collection, mayWrite, hits, onTags, onClosed }) {
    Object.assign(this, { collection, mayWrite, hits, onTags, onClosed });
    this.id = null;
    this.why = false;
    this.stage = el("div", { class: "stage" });
    this.title = el("h2", { id: "detail-title", tabindex: -1 });
    this.sheet = el("div", { class: "sheet-body" });
    this.previous = this.#button("left", "Previous image", () => this.#step(-1), "previous");
    this.next = this.#button("right", "Next image", () => this.#step(1), "next");
    this.dialog = el(
      "dialog",
      { class: "detail", id: "detail", "aria-labelledby": "detail-title" },
      el("div", { class: "stage-frame" }, this.stage, this.previous, this.next),
      el(
        "div",
        { class: "sheet" },
        el(
          "div",
          { class: "sheet-head" },
          this.title,
          this.#button("close", "Close", () => this.#leave(), "close-detail"),
        ),
        this.sheet,
      ),
    );
    this.dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.#leave();
    });
    this.dialog.addEventListener("click", (event) => this.#followed(event));
    onKeys(
      {
        ArrowLeft: () => this.#step(-1),
        ArrowRight: () => this.#step(1),
        w: () => this.#toggleWhy(),
        s: () => this.id !== null && askLike(this.id),
        "+": () => this.#pick("more"),
        "=": () => this.#pick("more"),
        "-": () => this.#pick("less"),
      },
      { within: this.dialog },
    );
    document.body.append(this.dialog);
  }

  /** As the address says: id null closes it. */
  async sync(question, id, why) {
    this.question = question;
    if (id === null) {
      this.#close();
      return;
    }
    const known = this.hits().find(({ image }) => image.id === id);
    const changed = id !== this.id || (known !== undefined && known !== this.hit);
    const whyChanged = why !== this.why;
    this.id = id;
    this.why = why;
    if (!this.dialog.open) this.dialog.showModal();
    if (changed) await this.#show();
    else if (whyChanged) this.#showStage();
  }

  #button(symbol, label, run, id) {
    return el(
      "button",
      { class: "button quiet icon", type: "button", "aria-label": label, title: label, id, onclick: run },
      icon(symbol),
    );
  }

  async #show() {
    const { id } = this;
    const index = this.hits().findIndex(({ image }) => image.id === id);
    this.previous.hidden = index <= 0;
    this.next.hidden = index < 0 || index >= this.hits().length - 1;
    this.hit = this.hits()[index] ?? null;
    this.control?.abort();
    if (!this.hit) {
      this.title.textContent = `Image ${id}`;
      replace(this.sheet);
      replace(this.stage);
      try {
        const image = await get(inCollection(this.collection, "images", id));
        if (id !== this.id) return;
        this.hit = { image };
      } catch (problem) {
        if (id === this.id) replace(this.stage, problemMessage(problem));
        return;
      }
    }
    this.#showSheet();
    this.#showStage();
    this.title.focus({ preventScroll: true });
  }

  #showStage() {
    this.control?.abort();
    this.whyButton?.setAttribute("aria-pressed", String(this.why));
    this.dialog.classList.toggle("explaining", this.why);
    if (this.why) void this.#showWhy();
    else replace(this.stage, large(this.collection, this.hit.image));
  }

  async #showWhy() {
    this.control = new AbortController();
    const { signal } = this.control;
    replace(this.stage, el("p", { class: "stage-wait", role: "status" }, "Comparing the two pictures…"));
    try {
      const view = await whyView(this.question, this.hit, signal);
      if (!signal.aborted) replace(this.stage, view);
    } catch (problem) {
      if (signal.aborted) return;
      const shown = problem instanceof PictureMissing
        ? { title: "The query picture is not here", message: "Drop it again to see why this matched." }
        : problem;
      replace(this.stage, problemMessage(shown, { retry: () => void this.#showWhy() }));
    }
  }

  #showSheet() {
    const { image } = this.hit;
    const folder = folderName(image.path);
    this.title.textContent = fileName(image.path);
    this.title.title = image.path;
    this.whyButton = this.#action("why", "Why?", () => this.#toggleWhy(), this.why, "why");
    replace(
      this.sheet,
      el(
        "p",
        { class: "path" },
        folder ? narrowed(folder, { folder: `path:${quoted(folder).slice(0, -1)}*"` }, "Images of this folder") : null,
        " ",
        el(
          "button",
          {
            class: "button quiet icon small", type: "button", "aria-label": "Copy the path", title: "Copy the path",
            onclick: () => void copy(image.path),
          },
          icon("copy"),
        ),
      ),
      this.#scores(),
      image.state === "ready"
        ? null
        : el("p", { class: "inline-notice" }, `This image is ${image.state}: ${image.message ?? image.reason ?? ""}`),
      el(
        "div",
        { class: "sheet-actions" },
        this.#action("similar", "More like this", () => askLike(image.id), null, "like"),
        this.whyButton,
        this.#action("plus", "More of this", () => this.#pick("more"), this.question.more.includes(image.id), "more"),
        this.#action("minus", "Less of this", () => this.#pick("less"), this.question.less.includes(image.id), "less"),
        el(
          "a",
          { class: "button", href: fileUrl(this.collection, image.id), target: "_blank", rel: "noopener" },
          icon("open"), "Open the file",
        ),
      ),
      factList(image),
      tagEditor(this.collection, image, { mayWrite: this.mayWrite, onChange: this.onTags }),
    );
  }

  #action(symbol, label, run, pressed, id) {
    return el(
      "button",
      { class: "button", type: "button", onclick: run, id: `do-${id}`, "aria-pressed": pressed === null ? null : String(pressed) },
      icon(symbol), label,
    );
  }

  #scores() {
    const { hit } = this;
    if (hit.score === undefined) return null;
    const by = hit.p === null
      ? null
      : el(
          "div",
          { title: "Of searches to which the collection holds nothing, this share has a best match at least as good." },
          el("dt", {}, "By chance"), el("dd", {}, odds(hit.p)),
        );
    return el(
      "dl",
      { class: "scores" },
      el("div", {}, el("dt", {}, "Rank"), el("dd", {}, String(hit.rank))),
      el("div", {}, el("dt", {}, "Similarity"), el("dd", {}, hit.score.toFixed(3))),
      by,
    );
  }

  #pick(kind) {
    if (this.id === null) return;
    const { id } = this;
    go({ ...pickChanges(this.question, id, kind) });
    toast(kind === "more" ? "More of this" : "Less of this", {
      action: { label: "Undo", run: () => history.back() },
    });
  }

  #toggleWhy() {
    go({ why: this.why ? null : 1 }, { replace: true });
  }

  #step(by) {
    const hits = this.hits();
    const index = hits.findIndex(({ image }) => image.id === this.id);
    const next = hits[index + by];
    if (index < 0 || !next) return;
    go({ i: next.image.id }, { replace: true });
  }

  /** Back to where it was opened from, or, after a deep link, to the answers. */
  #leave() {
    if (history.state?.detail) history.back();
    else go({ i: null, why: null }, { replace: true });
  }

  #close() {
    if (!this.dialog.open) return;
    const { id } = this;
    this.control?.abort();
    this.id = null;
    this.why = false;
    this.dialog.close();
    this.stage.replaceChildren();
    this.onClosed(id);
  }

  /** Links to other states of this page do not load it anew. */
  #followed(event) {
    if (event.target === this.dialog) this.#leave();
    const link = event.target.closest("a[data-go]");
    if (!link || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    const asked = new URL(link.href).searchParams;
    const changes = Object.fromEntries([...asked.keys()].map((name) => [name, asked.getAll(name)]));
    go({ ...pictureParams(null), q: null, more: null, less: null, ...changes });
  }
}

/** The picture as large as there is room: first the thumbnail, then, where it gains, the file. */
function large(collection, image) {
  const shown = el("img", {
    class: "stage-image", src: thumbnailUrl(collection, image.id, 1024), alt: fileName(image.path),
    width: image.width, height: image.height,
  });
  if (image.width && image.height) {
    shown.style.aspectRatio = `${image.width} / ${image.height}`;
    shown.style.setProperty("--ratio", String(image.width / image.height));
    shown.style.setProperty("--full", `${image.width}px`);
  }
  shown.addEventListener("error", () => {
    shown.replaceWith(
      el("div", { class: "message" }, icon("image"), el("p", {}, "This picture cannot be drawn: its file is out of reach or has changed.")),
    );
  });
  const gains = Math.max(image.width ?? 0, image.height ?? 0) > 1024;
  if (gains && SHOWN_BY_BROWSERS.includes(image.format) && (image.size ?? 0) < LARGEST_FILE) {
    const full = new Image();
    full.src = fileUrl(collection, image.id);
    full.decode().then(() => {
      shown.src = full.src;
    }, () => {}); // The thumbnail stays.
  }
  return shown;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Path copied");
  } catch {
    toast("This browser does not let pages copy here");
  }
}
