// Before anything is drawn, so that a chosen theme does not flash in late. Not a module: modules wait.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("likeness.theme");
  } catch {
    // Storage is switched off: the system's choice it is.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
