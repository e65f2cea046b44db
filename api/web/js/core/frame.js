// What every page begins with: who may do what, which collection, and the header's tools.
import { get } from "./api.js";
import { append, el, replace } from "./dom.js";
import { icon } from "./icons.js";
import { message } from "./messages.js";
import { askForKey, session as readSession, signOut } from "./signin.js";
import { params } from "./url.js";

const THEMES = ["auto", "light", "dark"];
const THEME_ICONS = { auto: "auto", light: "sun", dark: "moon" };
const THEME_NAMES = { auto: "as the system", light: "light", dark: "dark" };

/**
 * Opens the page: {session, collections, collection}.
 *
 * session: {key_needed, scope, …}; mayWrite says whether tags and the like can be changed.
 * collection: the one that the address names (`c`), else `default`, else the first; null when there
 * is none, and then the page says so by itself. Rejects with Problem.
 */
export async function openPage() {
  const tools = document.getElementById("tools");
  replace(tools, themeButton());
  let session = await readSession();
  if (session.key_needed && !session.scope) {
    await askForKey();
    session = await readSession();
  }
  const { collections } = await get("/v1/collections");
  const collection = chosenCollection(collections);
  keepCollection(collection, collections);
  replace(
    tools,
    collections.length > 1 ? collectionChooser(collections, collection) : null,
    themeButton(),
    session.key_needed ? signOutButton() : null,
  );
  const mayWrite = session.scope === "write" || session.scope === "admin";
  return { session, mayWrite, collections, collection };
}

/** What to show where there is no collection yet. */
export function nothingIndexed() {
  return message({
    title: "Nothing is indexed yet",
    body: [
      el("p", {}, "Point Likeness at a folder of pictures; they stay where they are."),
      el("pre", {}, "likeness index ~/Photos"),
    ],
    actions: [
      el("button", { class: "button", type: "button", onclick: () => location.reload() }, "Look again"),
    ],
  });
}

function chosenCollection(collections) {
  const asked = params().get("c");
  if (asked) return collections.find(({ name }) => name === asked) ?? { name: asked, missing: true };
  return collections.find(({ name }) => name === "default") ?? collections[0] ?? null;
}

/** The navigation stays in the collection. */
function keepCollection(collection, collections) {
  if (!collection || collections.length < 2) return;
  for (const link of document.querySelectorAll("header.frame nav a, header.frame .brand")) {
    const address = new URL(link.href);
    address.searchParams.set("c", collection.name);
    link.href = address.pathname + address.search;
  }
}

function collectionChooser(collections, chosen) {
  const changed = (event) => {
    // Nothing of a question belongs to another collection but its words.
    const kept = params().get("q");
    const next = new URLSearchParams({ c: event.target.value });
    if (kept) next.set("q", kept);
    location.assign(`${location.pathname}?${next}`);
  };
  const names = collections.map(({ name }) => name);
  if (chosen && !names.includes(chosen.name)) names.unshift(chosen.name);
  return el(
    "select",
    { class: "field", "aria-label": "Collection", id: "collection", onchange: changed },
    names.map((name) => el("option", { value: name, selected: name === chosen?.name }, name)),
  );
}

function themeButton() {
  const button = el("button", { class: "button quiet icon", type: "button", id: "theme" });
  const show = () => {
    const theme = document.documentElement.dataset.theme ?? "auto";
    button.setAttribute("aria-label", `Colours: ${THEME_NAMES[theme]}`);
    button.title = `Colours: ${THEME_NAMES[theme]}`;
    replace(button, icon(THEME_ICONS[theme]));
  };
  button.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme ?? "auto";
    const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem("likeness.theme", next);
    } catch {
      // Storage is switched off: it holds for this page.
    }
    document.dispatchEvent(new Event("likeness:theme"));
    show();
  });
  show();
  return button;
}

function signOutButton() {
  return append(
    el("button", {
      class: "button quiet icon", type: "button", "aria-label": "Sign out", title: "Sign out",
      onclick: () => void signOut(),
    }),
    icon("key"),
  );
}
