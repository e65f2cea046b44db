// The state of a page lives in its address, so that every state has a link and Back works.

const listeners = new Set();

/** The parameters of the page's address. */
export function params() {
  return new URLSearchParams(location.search);
}

/**
 * The address with changes: {name: value}; null and "" take a parameter out, an array sets several
 * of one name.
 */
export function hrefWith(changes, from = params()) {
  const next = new URLSearchParams(from);
  for (const [name, value] of Object.entries(changes)) {
    next.delete(name);
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && each !== "") next.append(name, each);
    }
  }
  // Readable where it may be: these are legal in a query and come often.
  const text = next.toString().replace(/%3A/gi, ":").replace(/%2C/gi, ",").replace(/%2F/gi, "/");
  return text ? `${location.pathname}?${text}` : location.pathname;
}

/**
 * Goes to the state with these changes. replace: without a new entry in the history. entry: what that
 * entry remembers (`history.state`).
 */
export function go(changes, options = {}) {
  visit(hrefWith(changes), options);
}

/** Goes to a whole address of this page. */
export function visit(href, { replace = false, entry = null } = {}) {
  const same = href === location.pathname + location.search;
  if (same && !replace) return;
  if (replace) {
    history.replaceState(entry ?? history.state, "", href);
  } else {
    rememberScroll();
    history.pushState(entry, "", href);
  }
  for (const listener of listeners) listener({ back: false, replaced: replace });
}

/** The entry of the history knows how far the page is scrolled: `history.state.scroll`. */
export function rememberScroll() {
  history.replaceState({ ...history.state, scroll: window.scrollY }, "");
}

/** Called with {back, replaced} whenever the address has changed, by `go` or by the history. */
export function onAddress(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

window.addEventListener("popstate", () => {
  for (const listener of listeners) listener({ back: true, replaced: false });
});
