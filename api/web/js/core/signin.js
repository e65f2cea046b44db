// The dialog that asks for an API key. The key goes into a cookie that scripts cannot read.
import { el } from "./dom.js";

const ADDRESS = "/v1/session";
let asking = null;

/** What this browser may do: {key_needed, scope, …}. */
export async function session() {
  const response = await fetch(ADDRESS);
  return response.ok ? response.json() : { key_needed: false, scope: null };
}

/** Asks for a key until one opens or the person gives up; resolves to whether one did. */
export function askForKey(why = "This server asks for an API key.") {
  asking ??= ask(why).finally(() => {
    asking = null;
  });
  return asking;
}

/** The key is forgotten. */
export async function signOut() {
  await fetch(ADDRESS, { method: "DELETE" });
  location.reload();
}

function ask(why) {
  return new Promise((resolve) => {
    const key = el("input", {
      class: "field", type: "password", name: "key", autocomplete: "current-password",
      required: true, maxlength: 200, placeholder: "lk_…", spellcheck: "false",
    });
    const problem = el("p", { class: "inline-problem", role: "alert", hidden: true });
    const submit = el("button", { class: "button primary", type: "submit" }, "Sign in");
    const cancel = el("button", { class: "button", type: "button", onclick: () => dialog.close() }, "Cancel");
    const form = el(
      "form",
      { class: "dialog-form", method: "dialog", onsubmit: (event) => void tried(event) },
      el("h2", { id: "signin-title" }, "Sign in"),
      el("p", {}, why, " ", el("code", {}, "likeness keys create"), " makes one."),
      el("label", { class: "stacked" }, "API key", key),
      problem,
      el("div", { class: "dialog-buttons" }, cancel, submit),
    );
    const dialog = el("dialog", { "aria-labelledby": "signin-title", class: "signin" }, form);
    let opened = false;

    async function tried(event) {
      event.preventDefault();
      submit.disabled = true;
      problem.hidden = true;
      try {
        const response = await fetch(ADDRESS, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ key: key.value.trim() }),
        });
        if (response.ok) {
          opened = true;
          dialog.close();
          return;
        }
        problem.textContent = (await response.json()).detail ?? "This key does not open.";
      } catch {
        problem.textContent = "The server does not answer. Try again.";
      } finally {
        submit.disabled = false;
      }
      problem.hidden = false;
      key.select();
    }

    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(opened);
      if (opened) document.dispatchEvent(new Event("likeness:signed-in"));
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
