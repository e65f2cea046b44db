// The list of groups: images side by side, the one to keep first, each with its verdict.
import { thumbnailUrl } from "../core/api.js";
import { el, replace } from "../core/dom.js";
import { bytes, fileName, folderName, plural } from "../core/format.js";
import { icon } from "../core/icons.js";
import { RELATION_NAMES, proofText } from "./data.js";

const HEIGHT = 168;
const NARROWEST = 0.6;
const WIDEST = 1.9;

/**
 * Groups as articles; one image of one group is the current one.
 *
 * on: {judge(group, member, verdict), apart(group, member), accept(group), compare(group, member)}.
 */
export class GroupList {
  constructor({ on, mayWrite }) {
    this.on = on;
    this.mayWrite = mayWrite;
    this.groups = [];
    this.articles = new Map();
    this.at = { group: 0, member: 0 };
    this.element = el("div", { class: "groups" });
  }

  set(groups) {
    this.groups = [];
    this.articles.clear();
    this.element.replaceChildren();
    this.at = { group: 0, member: 0 };
    this.append(groups);
  }

  append(groups) {
    for (const group of groups) {
      this.groups.push(group);
      const article = el("article", { class: "group", id: `group-${group.id}` });
      this.articles.set(group.id, article);
      this.#draw(group);
      this.element.append(article);
    }
    this.#roving();
  }

  /** The group is shown anew, or is gone when it has less than two images. */
  update(group) {
    const at = this.groups.findIndex(({ id }) => id === group.id);
    if (at < 0) return;
    if (group.members.length < 2) {
      this.articles.get(group.id).remove();
      this.articles.delete(group.id);
      this.groups.splice(at, 1);
      this.at = { group: Math.min(at, Math.max(0, this.groups.length - 1)), member: 0 };
    } else {
      const focused = this.articles.get(group.id).contains(document.activeElement);
      this.groups[at] = group;
      if (at === this.at.group) this.at.member = Math.min(this.at.member, group.members.length - 1);
      this.#draw(group);
      if (focused) this.focus();
    }
    this.#roving();
  }

  get current() {
    const group = this.groups[this.at.group];
    return group ? { group, member: group.members[this.at.member] } : null;
  }

  /** To the image `by` further within its group; to the next group at either end. */
  stepMember(by) {
    const group = this.groups[this.at.group];
    if (!group) return false;
    const next = this.at.member + by;
    if (next >= 0 && next < group.members.length) return this.goTo(this.at.group, next);
    return this.stepGroup(by, by < 0);
  }

  stepGroup(by, toLast = false) {
    const next = this.at.group + by;
    if (next < 0 || next >= this.groups.length) return true;
    return this.goTo(next, toLast ? this.groups[next].members.length - 1 : 0);
  }

  goTo(group, member = 0) {
    this.at = { group, member };
    this.#roving();
    this.focus();
    return true;
  }

  /** The current image has the focus; false when there is none. */
  focus() {
    const card = this.#card();
    if (!card) return false;
    card.focus({ preventScroll: true });
    card.closest(".group").scrollIntoView({ block: "nearest" });
    return true;
  }

  #card() {
    const group = this.groups[this.at.group];
    return group && this.articles.get(group.id)?.querySelectorAll(".copy")[this.at.member];
  }

  /** One image of all can be reached with Tab; the arrows go on from there. */
  #roving() {
    for (const card of this.element.querySelectorAll('.copy[tabindex="0"]')) card.tabIndex = -1;
    for (const group of this.element.querySelectorAll(".group.current")) group.classList.remove("current");
    const card = this.#card();
    if (!card) return;
    card.tabIndex = 0;
    card.closest(".group").classList.add("current");
  }

  #draw(group) {
    const removing = group.members.filter(({ verdict }) => verdict === "remove");
    const all = removing.length === group.members.length;
    const state = group.status === "decided" ? `${removing.length} to go` : "open";
    replace(
      this.articles.get(group.id),
      el(
        "header",
        { class: "group-head" },
        el("h2", {}, el("span", { class: `relation ${group.certainty}` }, RELATION_NAMES[group.certainty]),
          plural(group.members.length, "image")),
        el("span", { class: "group-facts" }, `${bytes(group.gain)} can go · ${state}`),
        all ? el("span", { class: "inline-notice" }, "The last copy is spared: one stays whatever is marked.") : null,
        el("div", { class: "group-tools" },
          this.mayWrite
            ? this.#button("check", "Keep the first only", () => this.on.accept(group))
            : null,
          this.#button("similar", "Compare", () => this.on.compare(group, group.members[1])),
        ),
      ),
      el("ul", { class: "copies", "aria-label": `Copies, ${group.members.length}` },
        group.members.map((member, at) => this.#member(group, member, at))),
    );
  }

  #button(symbol, label, run) {
    return el("button", { class: "button small", type: "button", onclick: run }, icon(symbol), el("span", {}, label));
  }

  #member(group, member, at) {
    const { image, collection } = member;
    const ratio = image.width && image.height ? image.width / image.height : 1;
    const width = Math.round(HEIGHT * Math.min(WIDEST, Math.max(NARROWEST, ratio)));
    const name = fileName(image.path);
    const verdict = member.verdict ?? "";
    const words = { keep: "keep", remove: "remove", "": "undecided" }[verdict];
    const picture = el("img", {
      src: thumbnailUrl(collection, image.id, Math.max(width, HEIGHT)), alt: "", loading: "lazy",
      decoding: "async", width, height: HEIGHT,
    });
    picture.addEventListener("error", () => picture.replaceWith(el("span", { class: "unreadable" }, icon("image"), "The file is out of reach")), { once: true });
    const open = () => this.on.compare(group, at ? member : group.members[1], member);
    return el(
      "li",
      { class: `member ${verdict}`, style: { width: `${Math.max(width, 150)}px` } },
      el(
        "button",
        {
          class: "copy", type: "button", tabindex: -1, style: { height: `${HEIGHT}px` },
          "aria-label": `${name}, ${proofText(member)}, ${words}`, title: image.path,
          onclick: open, onfocus: () => this.#focused(group, at),
        },
        picture,
        verdict ? el("span", { class: "stamp", "aria-hidden": "true" }, icon(verdict === "keep" ? "check" : "trash"), verdict) : null,
      ),
      el("p", { class: "copy-name" },
        el("a", { href: inSearch(collection, image.id), title: image.path }, name)),
      el("p", { class: "copy-folder", title: folderName(image.path) }, folderName(image.path)),
      el("p", { class: "copy-facts" }, size(image)),
      el("p", { class: "copy-proof" }, proofText(member)),
      this.mayWrite ? this.#verdicts(group, member, at) : null,
    );
  }

  #verdicts(group, member, at) {
    if (member.protected) return el("p", { class: "copy-proof" }, "Protected");
    const button = (verdict, label, symbol) => el("button", {
      class: `button small verdict ${verdict}`, type: "button", tabindex: -1,
      "aria-pressed": String(member.verdict === verdict), title: label, "aria-label": label,
      onclick: () => this.on.judge(group, member, member.verdict === verdict ? null : verdict),
    }, icon(symbol), el("span", {}, label));
    return el(
      "div",
      { class: "verdicts" },
      button("keep", "Keep", "check"),
      button("remove", "Remove", "trash"),
      at
        ? el("button", {
            class: "button small icon", type: "button", tabindex: -1, title: "Not a copy: never show again",
            "aria-label": "Not a copy", onclick: () => this.on.apart(group, member),
          }, icon("close"))
        : null,
    );
  }

  #focused(group, at) {
    const index = this.groups.findIndex(({ id }) => id === group.id);
    if (index === this.at.group && at === this.at.member) return;
    this.at = { group: index, member: at };
    this.#roving();
  }
}

export function size(image) {
  const parts = [];
  if (image.width) parts.push(`${image.width} × ${image.height}`);
  if (image.size !== null) parts.push(bytes(image.size));
  if (image.format) parts.push(image.format.toUpperCase());
  return parts.join(" · ");
}

function inSearch(collection, id) {
  return `/?${new URLSearchParams({ c: collection, i: id })}`;
}
