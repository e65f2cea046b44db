// The keyboard: one listener per scope, keys by name.
import { isTyping } from "./dom.js";

/**
 * Handles keys: onKeys({"/": f, Escape: f, "Shift+ArrowLeft": f, "+": f}, {within: dialog})
 *
 * A handler that returns false leaves the key alone. Nothing happens while text is typed, or with
 * Ctrl, Alt or Meta held; without `within`, nothing while a dialog is open. Returns how to stop.
 */
export function onKeys(handlers, { within = document, typing = false } = {}) {
  function pressed(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.isComposing || (isTyping(event.target) && !typing)) return;
    if (within === document && document.querySelector("dialog[open]")) return;
    const shifted = `Shift+${event.key}`;
    const handler = (event.shiftKey && handlers[shifted]) || handlers[event.key];
    if (!handler || (event.shiftKey && event.key.length > 1 && !handlers[shifted])) return;
    if (handler(event) !== false) event.preventDefault();
  }
  within.addEventListener("keydown", pressed);
  return () => within.removeEventListener("keydown", pressed);
}
