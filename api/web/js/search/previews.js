// What a query picture looks like: {src, name}, whatever it is.
import { fileUrl, send, sendForm, thumbnailUrl } from "../core/api.js";
import { fileName } from "../core/format.js";
import { findPicture, keepPicture } from "./pictures.js";

const made = new Map();

/** {src, name}; src is null for a picture that cannot be shown. Never rejects. */
export function previewOf(picture, collection) {
  if (!picture) return Promise.resolve({ src: null, name: "" });
  if (picture.kind === "stored") {
    return Promise.resolve({ src: thumbnailUrl(collection, picture.id, 1024), name: `Image ${picture.id}` });
  }
  const key = picture.kind === "url" ? picture.url : picture.id;
  if (!made.has(key)) made.set(key, picture.kind === "url" ? ofUrl(picture.url) : ofUpload(picture.id));
  return made.get(key);
}

async function ofUpload(id) {
  const found = await findPicture(id);
  if (!found) return { src: null, name: "" };
  const src = URL.createObjectURL(found.blob);
  if (await canShow(src)) return { src, name: found.name };
  URL.revokeObjectURL(src);
  // HEIC and TIFF, mostly: the server reads what this browser does not.
  const form = new FormData();
  form.append("image", found.blob, found.name || "picture");
  return { src: await drawnByServer(sendForm("/v1/preview", form, { as: "blob" })), name: found.name };
}

async function ofUrl(url) {
  const src = await drawnByServer(send("POST", "/v1/preview", { url }, { as: "blob" }));
  return { src, name: fileName(url.split(/[?#]/)[0]) || url };
}

async function drawnByServer(asked) {
  try {
    return URL.createObjectURL(await asked);
  } catch {
    return null; // The search with it says what is wrong.
  }
}

async function canShow(src) {
  const image = new Image();
  image.src = src;
  try {
    await image.decode();
    return true;
  } catch {
    return false;
  }
}

/** A stored image as a picture of one's own, of which a part can be used. */
export async function asUpload(collection, id) {
  let response = await fetch(fileUrl(collection, id));
  if (!response.ok) response = await fetch(thumbnailUrl(collection, id, 1024));
  if (!response.ok) return null;
  return keepPicture(await response.blob(), `image ${id}`);
}
