// A dialog that lists keys.
import { el } from "./dom.js";

/** keysDialog("Keys", [[["K"], "Keep"], …]): shown until it is closed. */
export function keysDialog(title, rows) {
  const dialog = el(
    "dialog",
    { "aria-labelledby": "keys-title" },
    el("div", { class: "dialog-form" },
      el("h2", { id: "keys-title" }, title),
      el("dl", { class: "keys-list" }, rows.map(([keys, what]) => [
        el("dt", {}, keys.map((key) => el("kbd", {}, key))), el("dd", {}, what),
      ])),
      el("div", { class: "dialog-buttons" },
        el("button", { class: "button primary", type: "button", onclick: () => dialog.close() }, "Close"))),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
