// Elements from data. Text only ever becomes text: nothing here parses markup.

/**
 * An element with properties and children.
 *
 * el("button", {class: "button", onclick: f, "aria-label": "Close", disabled: true}, icon, "Close")
 * `on…` adds a listener, `style` is an object of CSS properties, `data` fills the dataset; true sets
 * an empty attribute, false, null and undefined set none. Children: nodes, text, arrays, null.
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") node.className = value;
    else if (name === "style") Object.assign(node.style, value);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "value") node.value = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  append(node, children);
  return node;
}

/** Children appended, however nested; null, undefined and false are left out. */
export function append(node, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child);
  }
  return node;
}

/** The node has these children and no others. */
export function replace(node, ...children) {
  node.replaceChildren();
  return append(node, ...children);
}

/** An SVG element. */
export function svg(tag, props = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(props)) {
    if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  return append(node, ...children);
}

/** Text for screen readers only. */
export function hidden(text) {
  return el("span", { class: "visually-hidden" }, text);
}

/** Whether keys pressed there are text. */
export function isTyping(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target.matches("textarea, select")) return true;
  return target.matches("input") && !target.matches("[type=checkbox], [type=radio], [type=button]");
}
