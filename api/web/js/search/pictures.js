// Query pictures that were dropped, pasted or chosen: kept in this browser under the hash of their
// bytes, so that an address with one can be reloaded. Nothing is sent before it is asked with.

const DATABASE = "likeness";
const STORE = "pictures";
const MOST = 40;
const memory = new Map();

/** Keeps a picture; resolves to its id. Without storage it lasts as long as the page. */
export async function keepPicture(blob, name) {
  const id = await hashOf(blob);
  memory.set(id, { id, blob, name });
  try {
    await within("readwrite", (store) => store.put({ id, blob, name, at: Date.now() }));
    await trim();
  } catch {
    // Private windows and full disks: it is in memory.
  }
  return id;
}

/** {id, blob, name}, or null where this browser does not have it. */
export async function findPicture(id) {
  if (memory.has(id)) return memory.get(id);
  try {
    const found = await within("readonly", (store) => store.get(id));
    if (found) memory.set(id, found);
    return found ?? null;
  } catch {
    return null;
  }
}

async function hashOf(blob) {
  if (!crypto.subtle) {
    // Plain HTTP on another machine's address: no hashing there, so the name is a random one.
    return [...crypto.getRandomValues(new Uint8Array(10))].map(hex).join("");
  }
  const digest = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
  return [...new Uint8Array(digest).slice(0, 10)].map(hex).join("");
}

function hex(byte) {
  return byte.toString(16).padStart(2, "0");
}

let opened = null;

function open() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(STORE, { keyPath: "id" }).createIndex("at", "at");
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

/** The result of a request in a transaction of its own. */
async function within(mode, ask) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(STORE, mode);
    const request = ask(transaction.objectStore(STORE));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = () => reject(transaction.error);
    transaction.onerror = () => reject(transaction.error);
  });
}

/** The oldest are forgotten. */
async function trim() {
  const keys = await within("readonly", (store) => store.index("at").getAllKeys());
  for (const key of keys.slice(0, Math.max(0, keys.length - MOST))) {
    await within("readwrite", (store) => store.delete(key));
  }
}
