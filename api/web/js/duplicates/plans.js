// What would be done about the marked copies, file by file; carrying it out, taking it back.
import { el, replace } from "../core/dom.js";
import { bytes, count, fileName, folderName, plural, when } from "../core/format.js";
import { icon } from "../core/icons.js";
import { problemMessage } from "../core/messages.js";

const STATES = { made: "not carried out", applied: "carried out", undone: "taken back" };

/**
 * The dialog of plans. on: {act(plan, verb)}, with verb "apply" or "undo".
 *
 * mayAct: whether this person may move files; the others can look.
 */
export class PlanDialog {
  constructor({ copies, mayWrite, mayAct, on }) {
    Object.assign(this, { copies, mayWrite, mayAct, on });
    this.body = el("div", { class: "dialog-body" });
    this.foot = el("div", { class: "dialog-foot" });
    this.title = el("h2", { id: "plan-title", tabindex: -1 }, "Plan");
    this.dialog = el(
      "dialog",
      { class: "dialog-wide plan", "aria-labelledby": "plan-title" },
      el("div", { class: "dialog-head" }, this.title,
        el("button", { class: "button quiet icon", type: "button", "aria-label": "Close", onclick: () => this.dialog.close() }, icon("close"))),
      this.body, this.foot,
    );
    document.body.append(this.dialog);
  }

  /** What is marked, what to do with it, and the plans there were. */
  async open(totals) {
    this.totals = totals;
    this.title.textContent = "Plan and carry out";
    if (!this.dialog.open) {
      this.dialog.showModal();
      this.title.focus();
    }
    await this.#guarded(async () => {
      const { plans } = await this.copies.plans();
      const action = el("select", { class: "field", id: "plan-action" },
        el("option", { value: "trash" }, "Move the copies to the trash folder"),
        el("option", { value: "hardlink" }, "Put hard links in their places"));
      const rest = el("input", { type: "checkbox", id: "plan-rest" });
      const make = () => this.#make({ action: action.value, open_ones_too: rest.checked });
      replace(this.body,
        el("section", { class: "plan-new" },
          el("p", {}, totals.marked
            ? [el("strong", {}, plural(totals.marked, "image")), ` marked to be removed, ${bytes(totals.marked_bytes)}.`]
            : "No image is marked to be removed yet."),
          el("label", { class: "stacked" }, "What to do", action),
          totals.open ? el("label", { class: "check" }, rest,
            el("span", {}, `Also keep only the first of the ${plural(totals.open, "group")} without a verdict`)) : null,
          el("p", { class: "hint" }, "A plan changes nothing. It is shown file by file before you carry it out; every file's bytes are checked first, nothing is deleted, and Undo brings everything back.")),
        plans.length ? el("section", {}, el("h3", {}, "Before"), el("ul", { class: "plan-list" }, plans.map((plan) => this.#row(plan)))) : null);
      replace(this.foot, this.mayWrite
        ? el("button", { class: "button primary", type: "button", onclick: () => void make() }, "Make the plan")
        : null);
    });
  }

  close() {
    if (this.dialog.open) this.dialog.close();
  }

  #row(plan) {
    const at = plan.undone_at ?? plan.applied_at ?? plan.created_at;
    return el("li", {},
      el("span", {}, plan.files === null ? "A plan made elsewhere" : plural(plan.files, "file"), " · ", STATES[plan.state], at ? ` · ${when(at)}` : ""),
      el("span", { class: "plan-tools" },
        plan.files === null ? null : el("button", { class: "button small", type: "button", onclick: () => void this.show(plan.id) }, "Look"),
        plan.state === "applied" && this.mayAct
          ? el("button", { class: "button small", type: "button", onclick: () => this.#act(plan, "undo") }, icon("undo"), "Undo")
          : null));
  }

  async #make(asked) {
    await this.#guarded(async () => {
      const plan = await this.copies.makePlan(asked);
      await this.show(plan.id);
    });
  }

  /** A plan, file by file. */
  async show(id) {
    await this.#guarded(async () => {
      const page = await this.copies.plan(id);
      const { plan, steps, left_alone: left } = page;
      this.title.textContent = plan.files ? `${plural(plan.files, "file")} ${plan.action === "hardlink" ? "to be linked" : "to be moved"}` : "Nothing to do";
      const list = el("ol", { class: "steps" }, steps.map(stepRow));
      const more = el("button", { class: "button small", type: "button" }, "More");
      let after = page.next_after;
      more.hidden = after === null;
      more.addEventListener("click", () => void this.#guarded(async () => {
        const next = await this.copies.plan(id, after);
        list.append(...next.steps.map(stepRow));
        after = next.next_after;
        more.hidden = after === null;
      }));
      replace(this.body,
        plan.files ? el("p", { class: "hint" }, `Copies go to ${plan.folder}. Their tags and facts go to the image that is kept.`) : el("p", {}, "No file is marked that could be taken away."),
        list, more,
        left.length ? el("section", {}, el("h3", {}, `${count(left.length)} left alone`),
          el("ul", { class: "steps" }, left.map(({ path, reason }) => el("li", {}, el("span", { title: path }, fileName(path)), el("small", {}, reason))))) : null);
      const may = plan.state === "made" && plan.files > 0;
      replace(this.foot,
        may && !this.mayAct ? el("span", { class: "hint" }, "Carrying it out takes a key of scope admin.") : null,
        el("button", { class: "button", type: "button", onclick: () => void this.open(this.totals) }, "Back"),
        may && this.mayAct ? el("button", { class: "button danger", type: "button", id: "carry-out", onclick: () => this.#act(plan, "apply") }, icon("trash"), `Carry out: ${plural(plan.files, "file")}`) : null,
        plan.state === "applied" && this.mayAct ? el("button", { class: "button", type: "button", onclick: () => this.#act(plan, "undo") }, icon("undo"), "Undo") : null);
      this.title.focus();
    });
  }

  #act(plan, verb) {
    this.close();
    this.on.act(plan, verb);
  }

  async #guarded(work) {
    try {
      await work();
    } catch (problem) {
      replace(this.body, problemMessage(problem));
      replace(this.foot, el("button", { class: "button", type: "button", onclick: () => this.close() }, "Close"));
    }
  }
}

function stepRow({ relation, keep, remove }) {
  return el("li", {},
    el("span", { class: "gone", title: remove.path }, fileName(remove.path), el("small", {}, folderName(remove.path))),
    el("span", { class: `relation ${relation}` }, relation.replace("-", " ")),
    el("span", { title: keep.path }, fileName(keep.path), el("small", {}, `stays in ${folderName(keep.path)}`)));
}
