// Which keys there are.
import { keysDialog } from "../core/help.js";

export function helpDialog() {
  keysDialog("Keys", [
    [["←", "→"], "The image before, the next"],
    [["↑", "↓"], "The group before, the next"],
    [["Enter"], "Compare with the first"],
    [["K"], "Keep"],
    [["R"], "Remove"],
    [["U"], "Undecided again"],
    [["N"], "Not a copy, for ever"],
    [["A"], "Keep the first only, and go on"],
    [["Z"], "Take the last verdict back"],
    [["P"], "Plan and carry out"],
    [["1", "…", "5"], "While comparing: side by side, overlay, blink, swipe, difference"],
    [["Space"], "While blinking: the other picture"],
    [["+", "−"], "While overlaying or swiping: more, less of the copy"],
  ]);
}
