// Pictures into the page: dropped anywhere, pasted anywhere, chosen, or named by address.
import { el } from "../core/dom.js";
import { icon } from "../core/icons.js";

/**
 * Listens to the whole page.
 *
 * onFile(blob, name), onUrl(url), onStored(id): what came in; a tile of the grid that is dropped is
 * a stored image.
 */
export function listenForPictures({ onFile, onUrl, onStored }) {
  const veil = el(
    "div",
    { class: "drop-veil", hidden: true, "aria-hidden": "true" },
    el("div", {}, icon("image"), el("p", {}, "Drop a picture to search with it")),
  );
  document.body.append(veil);
  let inside = 0;
  let ours = false;

  document.addEventListener("dragstart", () => {
    ours = true;
  });
  document.addEventListener("dragend", () => {
    ours = false;
  });
  document.addEventListener("dragenter", (event) => {
    if (!carriesPicture(event.dataTransfer)) return;
    inside += 1;
    veil.hidden = ours || modalOpen();
  });
  document.addEventListener("dragleave", () => {
    inside = Math.max(0, inside - 1);
    if (!inside) veil.hidden = true;
  });
  // A tile of this page is taken by the search box only: it may be dragged by mistake.
  const welcome = (event) =>
    carriesPicture(event.dataTransfer) && (!ours || event.target.closest?.(".bar") !== null);
  document.addEventListener("dragover", (event) => {
    if (welcome(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    inside = 0;
    veil.hidden = true;
    if (!welcome(event) || modalOpen()) return;
    event.preventDefault();
    take(event.dataTransfer, { onFile, onUrl, onStored });
  });
  document.addEventListener("paste", (event) => {
    if (modalOpen() || !event.clipboardData) return;
    const file = firstPicture(event.clipboardData);
    if (file) {
      event.preventDefault();
      onFile(file, file.name || "pasted picture");
      return;
    }
    const text = event.clipboardData.getData("text/plain").trim();
    const elsewhere = !event.target.closest?.("input, textarea");
    const emptyBox = event.target.id === "words" && !event.target.value;
    if (isPictureUrl(text) && (elsewhere || emptyBox)) {
      event.preventDefault();
      onUrl(text);
    }
  });
}

/** Whether a text is nothing but an http(s) address. */
export function isPictureUrl(text) {
  return /^https?:\/\/\S+$/i.test(text) && URL.canParse(text);
}

function modalOpen() {
  return document.querySelector("dialog[open]") !== null;
}

function carriesPicture(transfer) {
  const types = transfer?.types ?? [];
  return types.includes("Files") || types.includes("text/uri-list");
}

function firstPicture(transfer) {
  const files = [...(transfer.files ?? [])];
  return files.find(({ type }) => type.startsWith("image/")) ?? files[0] ?? null;
}

function take(transfer, { onFile, onUrl, onStored }) {
  const file = firstPicture(transfer);
  if (file) {
    onFile(file, file.name || "dropped picture");
    return;
  }
  const url = transfer.getData("text/uri-list").split("\n").find((line) => line && !line.startsWith("#"));
  if (!url) return;
  const parsed = URL.canParse(url) ? new URL(url) : null;
  const stored = parsed?.origin === location.origin && parsed.searchParams.get("i");
  if (stored) onStored(Number(stored));
  else onUrl(url.trim());
}
