// What is asked before a cluster is renamed or split, and before a run is made.
import { el } from "../core/dom.js";
import { METHODS } from "./data.js";

/** Asks for a text; resolves to it, or to null. */
export function askText({ title, label, value = "", confirm }) {
  const field = el("input", { class: "field", value, maxlength: 200, required: true });
  field.setAttribute("value", value);
  return ask(title, [el("label", { class: "stacked" }, label, field)], confirm, () => field.value.trim() || null, field);
}

/** Asks into how many parts; resolves to a number, or to null. */
export function askParts(name) {
  const field = el("input", { class: "field", type: "number", min: 2, max: 20, value: 2, required: true });
  return ask(`Split “${name}”`, [
    el("p", { class: "hint" }, "What is most unlike within it comes apart, for good: later runs keep it so."),
    el("label", { class: "stacked" }, "Into how many clusters", field),
  ], "Split", () => Number(field.value), field);
}

/** Asks how to cluster; resolves to the request, or to null. */
export function askRun() {
  const option = ([value, label]) => el("option", { value }, label);
  const method = el("select", { class: "field", id: "cluster-method" }, Object.entries(METHODS).map(option));
  const size = el("select", { class: "field" }, [["small", "Small"], ["medium", "Medium"], ["large", "Large"]].map(([value, label]) => el("option", { value, selected: value === "medium" }, label)));
  const k = el("input", { class: "field", type: "number", min: 2, max: 10000, placeholder: "by size" });
  const kLabel = el("label", { class: "stacked", hidden: true }, "How many", k);
  const name = el("input", { class: "field", maxlength: 100, placeholder: "METHOD-SIZE" });
  method.addEventListener("change", () => {
    kLabel.hidden = method.value !== "kmeans";
  });
  return ask("Cluster the collection", [
    el("label", { class: "stacked" }, "How", method), kLabel,
    el("label", { class: "stacked" }, "How large the clusters are", size),
    el("label", { class: "stacked" }, "Name of the run", name),
    el("p", { class: "hint" }, "A run of the same name is made anew; the names, merges and splits that you gave it are kept."),
  ], "Cluster", () => ({
    method: method.value, size: size.value,
    k: method.value === "kmeans" && k.value ? Number(k.value) : null, name: name.value.trim() || null,
  }), method);
}

function ask(title, content, confirm, read, first) {
  return new Promise((resolve) => {
    let answer = null;
    const dialog = el(
      "dialog",
      { "aria-labelledby": "ask-title" },
      el("form", {
        class: "dialog-form", method: "dialog",
        onsubmit: () => {
          answer = read();
        },
      },
      el("h2", { id: "ask-title" }, title), content,
      el("div", { class: "dialog-buttons" },
        el("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel"),
        el("button", { class: "button primary", type: "submit" }, confirm))),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
    first.focus();
    first.select?.();
  });
}
