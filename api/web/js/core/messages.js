// What a page says: problems in full, empty states, passing toasts, and that it is at work.
import { append, el } from "./dom.js";
import { icon } from "./icons.js";

/** A message in the place of content: what it is, why, and what can be done. */
export function message({ icon: name = "empty", title, body = [], actions = [] }) {
  return el(
    "section",
    { class: "message" },
    icon(name),
    el("h2", {}, title),
    body,
    actions.length ? el("div", { class: "dialog-buttons" }, actions) : null,
  );
}

/** A Problem in the place of content, in the server's own words. */
export function problemMessage(problem, { retry = null, actions = [] } = {}) {
  const shown = el(
    "section",
    { class: "message problem", role: "alert" },
    icon("warning"),
    el("h2", {}, problem.title ?? "Something went wrong"),
  );
  const detail = problem.detail ?? problem.message;
  append(shown, detail.includes("\n") ? el("pre", {}, detail) : el("p", {}, detail));
  if (problem.code) append(shown, el("p", { class: "code" }, problem.code));
  const buttons = [...actions];
  if (retry) {
    buttons.push(el("button", { class: "button", type: "button", onclick: retry }, "Try again"));
  }
  if (buttons.length) append(shown, el("div", { class: "dialog-buttons" }, buttons));
  return shown;
}

/** A line that goes away by itself; action: {label, run}. */
export function toast(text, { action = null, stay_ms = 5000 } = {}) {
  const shown = el("div", { class: "toast" }, el("span", {}, text));
  if (action) {
    const run = () => {
      shown.remove();
      action.run();
    };
    append(shown, el("button", { class: "button small", type: "button", onclick: run }, action.label));
  }
  // Inside a modal dialog, where the page beneath is out of reach.
  const dialogs = [...document.querySelectorAll("dialog[open]")];
  const place = document.getElementById("toasts");
  (dialogs.at(-1) ?? document.body).append(place);
  place.append(shown);
  setTimeout(() => {
    shown.remove();
    if (!place.childElementCount) document.body.append(place);
  }, stay_ms);
}

let bar = null;
let working = 0;

/** Shows that the page is at work until the promise settles; hands the promise on. */
export async function busyWhile(promise) {
  if (!bar) {
    bar = el("div", { class: "busy", "aria-hidden": "true" });
    document.body.append(bar);
  }
  working += 1;
  bar.classList.add("on");
  try {
    return await promise;
  } finally {
    working -= 1;
    bar.classList.toggle("on", working > 0);
  }
}
