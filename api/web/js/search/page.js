// Search: by words, by picture, and by both.
import { nothingIndexed, openPage } from "../core/frame.js";
import { problemMessage } from "../core/messages.js";
import { replace } from "../core/dom.js";

const main = document.getElementById("main");
try {
  const { collection } = await openPage();
  if (!collection) replace(main, nothingIndexed());
} catch (problem) {
  replace(main, problemMessage(problem, { retry: () => location.reload() }));
}
