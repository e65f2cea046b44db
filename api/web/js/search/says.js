// What is said in the place of answers.
import { el } from "../core/dom.js";
import { message } from "../core/messages.js";
import { go } from "../core/url.js";
import { UNFILTERED, filterCount, pictureParams } from "./question.js";

/** What to say when nothing is found, and what can be done. */
export function nothingFound(question) {
  const actions = [];
  if (filterCount(question)) {
    actions.push(el("button", { class: "button", type: "button", onclick: () => go(UNFILTERED) }, "Clear filters"));
  }
  if (question.maxFalse) {
    const all = () => go({ sure: null });
    actions.push(el("button", { class: "button", type: "button", onclick: all }, "Show all, however far"));
  }
  return message({
    title: filterCount(question) || question.maxFalse ? "Nothing matches" : "There are no images here yet",
    body: [el("p", {}, why(question))],
    actions,
  });
}

function why(question) {
  if (question.maxFalse) return "No image is so near that it would hardly be by chance.";
  if (filterCount(question)) return "No image of this collection passes the filters.";
  return "Index a folder into it, and they appear.";
}

/** What can be done about a problem, beside trying again. */
export function remedies(problem, question) {
  const button = (text, changes) =>
    el("button", { class: "button", type: "button", onclick: () => go(changes) }, text);
  if (problem.code === "where_invalid") return [button("Clear filters", UNFILTERED)];
  const actions = [];
  if (question.picture) actions.push(button("Remove the picture", pictureParams(null)));
  if (question.rerank.length) actions.push(button("Without re-ranking", { rerank: null }));
  if (question.maxFalse) actions.push(button("Show all, however far", { sure: null }));
  return actions;
}

/** What to say of a link with a picture that this browser does not have. */
export function pictureMissing() {
  return message({
    icon: "image",
    title: "The query picture is not here",
    body: [
      el(
        "p",
        {},
        "This link was made with a picture of somebody's own. Such pictures stay in the browser that "
        + "searched, and this one does not have it. Drop or paste the picture to search with it again.",
      ),
    ],
    actions: [
      el(
        "button",
        { class: "button", type: "button", onclick: () => go(pictureParams(null)) },
        "Go on without it",
      ),
    ],
  });
}
