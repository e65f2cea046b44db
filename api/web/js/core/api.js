// Calls of the HTTP API. What is not a success becomes a Problem with the server's own words.
import { askForKey } from "./signin.js";

/** RFC 9457 problem details: status, code, title, detail, and whatever else came along. */
export class Problem extends Error {
  constructor(document) {
    super(document.detail || document.title);
    this.name = "Problem";
    this.status = document.status;
    this.code = document.code;
    this.title = document.title;
    this.detail = document.detail;
    this.document = document;
  }
}

/** The address of something in a collection: inCollection("a b", "images", 3) → /v1/collections/a%20b/images/3 */
export function inCollection(collection, ...parts) {
  return ["/v1/collections", collection, ...parts].map((part, at) => (at ? encodeURIComponent(part) : part)).join("/");
}

/** The thumbnail of an image; side: longer side in CSS pixels, scaled to the screen's. */
export function thumbnailUrl(collection, imageId, side) {
  const sharp = Math.min(1024, Math.max(16, Math.ceil(side * Math.min(window.devicePixelRatio || 1, 2))));
  const kept = [128, 256, 512, 1024].find((size) => size >= sharp) ?? 1024;
  return `${inCollection(collection, "images", imageId, "thumbnail")}?size=${kept}`;
}

/** The file of an image, as it was indexed. */
export function fileUrl(collection, imageId) {
  return inCollection(collection, "images", imageId, "file");
}

/** JSON from GET; params: null and undefined ones are left out. */
export function get(path, params = {}, options = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  return call(query.size ? `${path}?${query}` : path, { method: "GET", ...options });
}

/** JSON from a request with a JSON body; options: signal, as ("json" or "blob"). */
export function send(method, path, body = undefined, options = {}) {
  const init = { method, ...options };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { "Content-Type": "application/json" };
  }
  return call(path, init);
}

/** The same with a FormData body. */
export function sendForm(path, form, options = {}) {
  return call(path, { method: "POST", body: form, ...options });
}

/**
 * The answer of a request: parsed JSON, a Blob when `as` is "blob", null when there is no content.
 * Asks for a key once, when the server wants one. Rejects with Problem, or AbortError.
 */
export async function call(path, { as = "json", ...init } = {}) {
  let response = await fetched(path, init);
  if (response.status === 401 && (await askForKey())) response = await fetched(path, init);
  if (!response.ok) throw await problemOf(response);
  if (response.status === 204) return null;
  return as === "blob" ? response.blob() : response.json();
}

async function fetched(path, init) {
  try {
    return await fetch(path, { credentials: "same-origin", ...init });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({
      status: 0,
      code: "unreachable",
      title: "The server does not answer",
      detail: "It may have been stopped, or the connection was lost. Try again.",
    });
  }
}

async function problemOf(response) {
  try {
    const document = await response.json();
    if (typeof document.title === "string") return new Problem(document);
  } catch {
    // Not a document of ours: a proxy in between, most likely.
  }
  return new Problem({
    status: response.status,
    code: `http_${response.status}`,
    title: "The server's answer cannot be read",
    detail: `It answered with status ${response.status}.`,
  });
}
