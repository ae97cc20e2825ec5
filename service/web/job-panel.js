// A long job, followed while it runs: what it does, how long it still takes, and a way to stop it.

import { announce } from "./announcer.js";
import { read, request } from "./api.js";
import { el, fill } from "./dom.js";
import { between, duration, moment } from "./format.js";
import { follow } from "./follow.js";
import { icon } from "./icons.js";
import { badge, errorBox, jobLine, setProgress } from "./state-words.js";

/** `<job-panel>`: fires "job" with each state of the job. */
export class JobPanel extends HTMLElement {
  #badge = el("span");
  #line = el("p", { class: "stage-line" });
  #times = el("p", { class: "help" });
  #bar = el("progress", { max: 1, "aria-label": "Progress of this stage" });
  #cancel = el("button", { type: "button", onclick: () => this.#stopIt() }, icon("close"), "Cancel");
  #said = el("div");
  #stop = () => {};
  #id = "";
  #state = "";

  connectedCallback() {
    if (this.firstChild) return;
    this.append(el("div", { class: "title-row" }, this.#badge, this.#line, this.#cancel), this.#bar, this.#times, this.#said);
  }

  disconnectedCallback() {
    this.#stop();
  }

  /** @param {string} id - The job to follow. */
  async show(id) {
    this.#stop();
    this.#id = id;
    try {
      const job = await read(`/jobs/${id}`);
      if (this.#id !== id || !this.isConnected) return;
      this.#tell(job);
      if (!job.finished_at) this.#stop = follow(id, (next) => this.#tell(next), (problem) => fill(this.#said, errorBox(problem)));
    } catch (problem) {
      this.#line.textContent = "";
      this.#bar.hidden = true;
      this.#cancel.hidden = true;
      fill(this.#said, errorBox(problem));
    }
  }

  #tell(job) {
    fill(this.#badge, badge(job.state));
    this.#line.textContent = job.finished_at ? "" : jobLine(job);
    this.#bar.hidden = Boolean(job.finished_at);
    setProgress(this.#bar, job.state === "running" ? job.progress : null);
    this.#cancel.hidden = Boolean(job.finished_at);
    const worked = job.started_at ? `, worked on for ${duration(between(job.started_at, job.finished_at))}` : "";
    this.#times.textContent = `Handed in ${moment(job.created_at)}${worked}`;
    fill(this.#said, job.error && errorBox(job.error));
    if (job.finished_at && this.#state && this.#state !== job.state) announce(`The job has ended: ${job.state}.`);
    this.#state = job.state;
    this.dispatchEvent(new CustomEvent("job", { detail: job }));
  }

  async #stopIt() {
    this.#cancel.disabled = true;
    try {
      this.#tell(await (await request("DELETE", `/jobs/${this.#id}`)).json());
    } catch (problem) {
      if (problem.status !== 409) fill(this.#said, errorBox(problem)); // 409: it ended by itself meanwhile
    } finally {
      this.#cancel.disabled = false;
    }
  }
}

customElements.define("job-panel", JobPanel);
