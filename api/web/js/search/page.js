// Search: by words, by picture, and by both. The address is the state; this wires it to the parts.
import { get } from "../core/api.js";
import { el, replace } from "../core/dom.js";
import { nothingIndexed, openPage } from "../core/frame.js";
import { keysDialog } from "../core/help.js";
import { onKeys } from "../core/keys.js";
import { problemMessage, toast } from "../core/messages.js";
import { go, onAddress, params, rememberScroll } from "../core/url.js";
import { forgetAnswers } from "./answers.js";
import { QueryBar } from "./bar.js";
import { chooseCrop } from "./crop.js";
import { Detail } from "./detail.js";
import { Filters } from "./filters.js";
import { listenForPictures } from "./intake.js";
import { Options } from "./options.js";
import { askLike } from "./picks.js";
import { keepPicture } from "./pictures.js";
import { asUpload, previewOf } from "./previews.js";
import { isAsking, pictureParams, readQuestion, sameAnswer } from "./question.js";
import { Results } from "./results.js";

const KEYS = [
  [["/"], "Into the search box"],
  [["↓"], "From the box to the images"],
  [["←", "↑", "→", "↓"], "From image to image"],
  [["Enter"], "Open"],
  [["Esc"], "Close, or back to the box"],
  [["w"], "Why it matched"],
  [["s"], "More like this"],
  [["+"], "More of this"],
  [["-"], "Less of this"],
  [["f"], "Filters"],
  [["?"], "This list"],
];

class SearchPage {
  constructor({ session, mayWrite, collection }, rerankers) {
    this.session = session;
    this.collection = collection.name;
    this.shown = null;
    this.bar = new QueryBar({
      onFile: (blob, name) => void this.withFile(blob, name),
      onUrl: (url) => this.withUrl(url),
      onCrop: () => void this.crop(),
      onAgain: () => this.render({ again: true }),
    });
    this.filters = new Filters(collection.name);
    this.options = new Options(rerankers, collection.spaces ?? []);
    this.results = new Results({
      above: this.filters.chips,
      onOpen: (image, why) => go({ i: image.id, why: why ? 1 : null }, { entry: { detail: true } }),
    });
    this.detail = new Detail({
      collection: collection.name,
      mayWrite,
      hits: () => this.results.hits,
      onTags: (image) => this.retagged(image),
      onClosed: (id) => this.returnTo(id),
    });
  }

  /** Everything is in its place and does as the address says, now and later. */
  start(main) {
    replace(
      main,
      el("h1", { class: "visually-hidden" }, "Search"),
      el("div", { class: "top" }, this.bar.element),
      el(
        "div",
        { class: "toolbar" },
        this.filters.button, this.options.element, this.results.status, this.results.cost.element,
      ),
      el("div", { class: "columns" }, this.filters.panel, this.results.element),
    );
    listenForPictures({
      onFile: (blob, name) => void this.withFile(blob, name),
      onUrl: (url) => this.withUrl(url),
      onStored: (id) => askLike(id),
    });
    onKeys({
      "/": () => this.bar.focus(),
      "?": () => keysDialog("Keys", KEYS),
      f: () => this.filters.open(this.filters.panel.hidden),
      Escape: () => this.escape(),
      ArrowDown: () => this.enterGrid(),
    });
    onKeys(
      {
        ArrowDown: (event) => (event.target === this.bar.words ? this.enterGrid() : false),
        Escape: (event) => (event.target === this.bar.words ? this.bar.words.blur() : false),
      },
      { within: this.bar.element, typing: true },
    );
    onAddress((how) => this.render(how));
    history.scrollRestoration = "manual"; // The answers come later than the browser would scroll.
    window.addEventListener("pagehide", rememberScroll);
    document.addEventListener("likeness:signed-in", () => location.reload());
    this.render({ back: true });
    void this.filters.load();
  }

  /** back: to a state that was there before; again: the same question is asked anew. */
  render({ back = false, again = false } = {}) {
    const address = params();
    const question = readQuestion(address, this.collection);
    const changed = sameAnswer(question) !== this.shown;
    this.question = question;
    if (changed || again) {
      this.shown = sameAnswer(question);
      this.draw(question);
      const scrolled = back ? (history.state?.scroll ?? 0) : 0;
      // At once, not when the answers are there: people may have scrolled by then.
      if (!scrolled) window.scrollTo(0, 0);
      const shown = this.results.show(question, Number(address.get("n")) || 0, { fresh: !back });
      void shown.then(() => {
        if (sameAnswer(question) !== this.shown) return;
        if (scrolled) window.scrollTo(0, scrolled);
        this.openAsAsked();
      });
    }
    if (!changed || !address.get("i")) this.openAsAsked();
  }

  draw(question) {
    const asking = isAsking(question);
    document.title = `${titleOf(question)} · Likeness`;
    document.body.classList.toggle("asking", asking);
    this.bar.show(question);
    this.filters.show(question);
    this.options.show(question, asking);
    if (!question.picture) return;
    void previewOf(question.picture, this.collection).then(({ src, name }) => {
      if (question === this.question || sameAnswer(question) === this.shown) {
        this.bar.show(question, { preview: src, name });
      }
    });
  }

  openAsAsked() {
    const address = params();
    const id = /^\d+$/.test(address.get("i") ?? "") ? Number(address.get("i")) : null;
    void this.detail.sync(this.question, id, address.get("why") === "1");
  }

  async withFile(blob, name) {
    const { max_body: most } = this.session;
    if (most && blob.size > most) {
      toast(`${name} is larger than this server takes (${Math.floor(most / 2 ** 20)} MB).`);
      return;
    }
    if (blob.type && !blob.type.startsWith("image/")) {
      toast(`${name} is not a picture.`);
      return;
    }
    const id = await keepPicture(blob, name);
    go(pictureParams({ kind: "upload", id }));
  }

  withUrl(url) {
    if (this.session.fetch_urls === false) {
      toast("This server does not fetch pictures from the web. Save the picture and drop it here.");
      return;
    }
    go(pictureParams({ kind: "url", url }));
  }

  async crop() {
    const { picture, crop } = this.question;
    const { src } = await previewOf(picture, this.collection);
    const chosen = await chooseCrop(src, crop);
    document.getElementById("crop")?.focus();
    if (chosen === undefined) return;
    if (picture.kind !== "stored" || chosen === null) {
      go(pictureParams(picture, chosen));
      return;
    }
    // Stored images are asked with whole; a part of one goes as a picture of one's own.
    const id = await asUpload(this.collection, picture.id);
    if (id) go(pictureParams({ kind: "upload", id }, chosen));
    else toast("The image's file is out of reach, so no part of it can be used.");
  }

  retagged(image) {
    forgetAnswers();
    void this.filters.load();
    const hit = this.results.hits.find((each) => each.image.id === image.id);
    if (hit) hit.image.tags = image.tags;
  }

  returnTo(id) {
    const index = this.results.grid.indexOf(id);
    if (index >= 0) this.results.grid.focusAt(index);
  }

  enterGrid() {
    return this.results.grid.focusAt(this.results.grid.current);
  }

  escape() {
    if (this.results.grid.element.contains(document.activeElement)) this.bar.focus();
    else return false;
    return true;
  }
}

function titleOf(question) {
  if (question.words) return question.words;
  return isAsking(question) ? "Search by picture" : "Search";
}

const main = document.getElementById("main");
try {
  const opened = await openPage();
  if (!opened.collection) {
    replace(main, nothingIndexed());
  } else {
    const { rerankers } = await get("/v1/models");
    new SearchPage(opened, rerankers).start(main);
  }
} catch (problem) {
  replace(main, problemMessage(problem, { retry: () => location.reload() }));
}
