// Jobs: long work that the server does, followed as it goes on.
import { get, send } from "./api.js";
import { el, replace } from "./dom.js";
import { count } from "./format.js";

const FINAL = ["done", "failed", "cancelled"];
const LOOK_MS = 1000;

/** The unfinished jobs of these kinds in a collection, the newest first. */
export async function runningJobs(collection, kinds) {
  const { jobs } = await get("/v1/jobs", { limit: 100 });
  return jobs.filter(
    (job) => job.collection === collection && kinds.includes(job.kind) && !FINAL.includes(job.state),
  );
}

/** Resolves to the job once it has ended; onChange is called with it whenever it has moved. */
export function followJob(job, onChange = () => {}) {
  onChange(job);
  if (FINAL.includes(job.state)) return Promise.resolve(job);
  return new Promise((resolve, reject) => {
    const events = new EventSource(`/v1/jobs/${job.id}/events`);
    events.addEventListener("progress", (event) => onChange(JSON.parse(event.data)));
    events.addEventListener("end", (event) => {
      events.close();
      const last = JSON.parse(event.data);
      onChange(last);
      resolve(last);
    });
    events.addEventListener("error", () => {
      // A proxy that does not pass streams on, or a server that is restarted: asking does as well.
      events.close();
      poll(job.id, onChange).then(resolve, reject);
    });
  });
}

async function poll(id, onChange) {
  for (;;) {
    const job = await get(`/v1/jobs/${id}`);
    onChange(job);
    if (FINAL.includes(job.state)) return job;
    await new Promise((done) => setTimeout(done, LOOK_MS));
  }
}

/**
 * A line that shows one job at work, and can stop it: {element, follow(job)}.
 *
 * titles: kind → what it is called while it runs. follow resolves as `followJob` does.
 */
export class JobLine {
  constructor(titles) {
    this.titles = titles;
    this.text = el("span", { class: "job-text" });
    this.left = el("span", { class: "job-left" });
    this.bar = el("progress", { class: "job-bar", "aria-label": "Progress" });
    this.stop = el("button", { class: "button small", type: "button" }, "Stop");
    this.element = el(
      "div", { class: "job", role: "status", hidden: true }, this.text, this.bar, this.left, this.stop,
    );
    this.stop.addEventListener("click", () => {
      this.stop.disabled = true;
      if (this.id) void send("POST", `/v1/jobs/${this.id}/cancel`).catch(() => {});
    });
  }

  get busy() {
    return !this.element.hidden;
  }

  async follow(job) {
    this.id = job.id;
    this.stop.disabled = false;
    this.element.hidden = false;
    try {
      return await followJob(job, (now) => this.#show(now));
    } finally {
      this.element.hidden = true;
      this.id = null;
    }
  }

  #show(job) {
    const waits = job.state === "queued" ? "waiting for other work" : job.message;
    replace(this.text, el("strong", {}, this.titles[job.kind] ?? job.kind), waits ? ` · ${waits}` : null);
    if (job.total) {
      this.bar.max = job.total;
      this.bar.value = Math.min(job.settled, job.total);
      const seconds = job.seconds_left;
      const left = seconds > 1 ? ` · ${timeLeft(seconds)} left` : "";
      replace(this.left, `${count(job.settled)} of ${count(job.total)}${left}`);
    } else {
      this.bar.removeAttribute("value");
      replace(this.left, "");
    }
  }
}

function timeLeft(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
