// A button that opens a small panel beneath it.
import { append, el, replace } from "./dom.js";
import { icon } from "./icons.js";

let count = 0;

/**
 * {element, button, panel, label(text, on), close()}.
 *
 * label: what the button says; it can change. The panel closes on Escape, on a click elsewhere and
 * when the focus leaves it. align: "start" or "end", the edge that button and panel share.
 */
export function menu(label, content, { align = "start", id = null, symbol = null } = {}) {
  count += 1;
  const panelId = id ? `${id}-panel` : `menu-${count}`;
  const text = el("span", {}, label);
  const button = el(
    "button",
    { class: "button quiet", type: "button", id, "aria-expanded": "false", "aria-controls": panelId },
    symbol ? icon(symbol) : null,
    text,
    icon("down"),
  );
  const panel = el("div", { class: `menu-panel ${align}`, id: panelId, hidden: true });
  append(panel, content);
  const element = el("div", { class: "menu" }, button, panel);

  const open = (yes) => {
    panel.hidden = !yes;
    button.setAttribute("aria-expanded", String(yes));
  };
  const close = () => open(false);
  button.addEventListener("click", () => open(panel.hidden));
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || panel.hidden) return;
    event.preventDefault();
    event.stopPropagation();
    close();
    button.focus();
  });
  element.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !element.contains(event.relatedTarget)) close();
  });
  document.addEventListener("pointerdown", (event) => {
    if (!element.contains(event.target)) close();
  });

  return {
    element, button, panel, close,
    label(next, on = false) {
      text.textContent = next;
      button.classList.toggle("set", on);
    },
    content(...nodes) {
      replace(panel, nodes);
    },
  };
}
