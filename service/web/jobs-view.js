// All jobs, newest first: filtered, a page at a time, kept up to date while somebody looks.

import { announce } from "./announcer.js";
import { address, at, read, request } from "./api.js";
import { el, fill, newId } from "./dom.js";
import { between, bytes, duration, moment } from "./format.js";
import { icon } from "./icons.js";
import { badge, errorBox, jobLine } from "./state-words.js";
import { KINDS, STATES, errorWords } from "./words.js";

const PAGE = 25;
const MOST = 200;
const BUSY_MS = 1500;
const IDLE_MS = 6000;
/** What people hand in; looking at captures is the service's own affair. */
const SHOWN_KINDS = ["denoise", "finetune", "validate"];
const COLUMNS = ["Job", "State", "Handed in", "Time", "Model", ""];

/** `<jobs-view>`: its filters are in the address, as KIND/STATE. */
export class JobsView extends HTMLElement {
  #kind = this.#select("Kind", SHOWN_KINDS, KINDS);
  #state = this.#select("State", Object.keys(STATES), STATES);
  #body = el("tbody");
  #table = el("table", { class: "jobs" },
    el("thead", {}, el("tr", {}, COLUMNS.map((name) => el("th", { scope: "col" }, name || el("span", { class: "visually-hidden" }, "Actions"))))),
    this.#body);
  #said = el("div", { class: "said" });
  #more = el("button", { type: "button", hidden: true, onclick: () => this.#loadMore() }, "Older jobs");
  /** @type {Map<string, {job: any, row: HTMLElement, text: string}>} */
  #rows = new Map();
  #cursor = null;
  #timer = 0;
  #loading = new AbortController();

  connectedCallback() {
    if (this.firstChild) return;
    this.append(
      el("div", { class: "view-head" }, el("h1", {}, "Jobs"),
        el("form", { class: "filters", "aria-label": "Filter", onsubmit: (event) => event.preventDefault() },
          this.#kind.field, this.#state.field)),
      this.#said,
      el("div", { class: "scroll" }, this.#table),
      this.#more);
  }

  disconnectedCallback() {
    clearTimeout(this.#timer);
    this.#loading.abort();
  }

  /** @param {string} filters - KIND/STATE, "all" for any. */
  show(filters) {
    const [kind = "", state = ""] = filters.split("/");
    this.#kind.select.value = SHOWN_KINDS.includes(kind) ? kind : "all";
    this.#state.select.value = state in STATES ? state : "all";
    this.#loading.abort();
    this.#loading = new AbortController();
    this.#rows.clear();
    fill(this.#body);
    this.#refresh();
  }

  #select(label, values, words) {
    const id = newId("filter");
    const select = el("select", { id, onchange: () => this.#filter() },
      el("option", { value: "all" }, "All"), values.map((value) => el("option", { value }, words[value])));
    return { select, field: el("div", { class: "field inline" }, el("label", { for: id }, label), select) };
  }

  #filter() {
    location.hash = `#/jobs/${this.#kind.select.value}/${this.#state.select.value}`;
  }

  #address(more) {
    const kind = this.#kind.select.value;
    const state = this.#state.select.value;
    return address("/jobs", { kind: kind === "all" ? SHOWN_KINDS : kind, state: state === "all" ? null : state, ...more });
  }

  /** Reads again what is shown, and what has come since. */
  async #refresh() {
    clearTimeout(this.#timer);
    const { signal } = this.#loading;
    try {
      const limit = Math.min(MOST, Math.max(PAGE, this.#rows.size));
      const page = await read(this.#address({ limit }), signal);
      this.#showJobs(page.jobs, true);
      if (this.#rows.size <= limit) this.#cursor = page.next_cursor;
      fill(this.#said, this.#rows.size === 0 && this.#emptyWords());
    } catch (problem) {
      if (signal.aborted) return;
      fill(this.#said, errorBox(problem));
    }
    this.#table.hidden = this.#rows.size === 0;
    this.#more.hidden = this.#cursor === null;
    const busy = [...this.#rows.values()].some(({ job }) => !job.finished_at);
    this.#timer = setTimeout(() => this.#refresh(), busy ? BUSY_MS : IDLE_MS);
  }

  #emptyWords() {
    const filtered = this.#kind.select.value !== "all" || this.#state.select.value !== "all";
    return el("p", { class: "placeholder" }, filtered
      ? "No job is like that. Choose other filters to see more."
      : el("span", {}, "Nothing has been handed in yet. ", el("a", { href: "#/denoise" }, "Denoise a file"), " and it appears here."));
  }

  async #loadMore() {
    this.#more.disabled = true;
    try {
      const page = await read(this.#address({ limit: PAGE, cursor: this.#cursor }), this.#loading.signal);
      this.#showJobs(page.jobs, false);
      this.#cursor = page.next_cursor;
      this.#more.hidden = this.#cursor === null;
      announce(`${page.jobs.length} older jobs added.`);
    } catch (problem) {
      if (!this.#loading.signal.aborted) fill(this.#said, errorBox(problem));
    } finally {
      this.#more.disabled = false;
    }
  }

  /** Draws only the rows that say something else than before: a click must not meet a row that has just gone. */
  #showJobs(jobs, complete) {
    if (complete && this.#rows.size <= MOST) {
      const ids = new Set(jobs.map((job) => job.id));
      for (const [id, { row }] of this.#rows) if (!ids.has(id)) { row.remove(); this.#rows.delete(id); }
    }
    for (const [place, job] of jobs.entries()) {
      const known = this.#rows.get(job.id);
      const text = JSON.stringify(job) + (job.finished_at ? "" : jobLine(job));
      if (known?.text === text) continue;
      const row = jobRow(job, () => this.#cancel(job));
      if (known) known.row.replaceWith(row);
      else if (complete) this.#body.insertBefore(row, this.#body.children[place] ?? null);
      else this.#body.append(row);
      this.#rows.set(job.id, { job, row, text });
    }
  }

  async #cancel(job) {
    try {
      await request("DELETE", `/jobs/${job.id}`);
    } catch (problem) {
      if (problem.status !== 409) fill(this.#said, errorBox(problem)); // 409: it ended by itself meanwhile
    }
    this.#refresh();
  }
}

function jobRow(job, cancel) {
  const cell = (label, ...children) => el("td", { "data-label": label }, ...children);
  return el("tr", {},
    el("th", { scope: "row" }, el("a", { href: `#/${job.kind}/${job.id}` }, nameOf(job)), el("span", { class: "help" }, describe(job))),
    cell("State", badge(job.state), state(job)),
    cell("Handed in", el("time", { datetime: job.created_at }, moment(job.created_at))),
    cell("Time", took(job)),
    cell("Model", job.model ?? job.parameters.model ?? "Default"),
    el("td", { class: "row-actions" },
      job.state === "succeeded" && job.kind === "denoise" && el("a", {
        class: "button quiet", href: at(job.links.result), download: job.result.name, "aria-label": `Download ${job.result.name}`,
      }, icon("download"), "DNG"),
      !job.finished_at && el("button", { type: "button", class: "quiet", onclick: cancel, "aria-label": `Cancel ${nameOf(job)}` },
        icon("close"), "Cancel")));
}

function nameOf(job) {
  if (job.kind === "denoise") return job.input?.name ?? "Raw file";
  return job.kind === "finetune" ? job.parameters.name : `On ${job.parameters.dataset}`;
}

function describe(job) {
  return [KINDS[job.kind], job.input && bytes(job.input.bytes), job.batch && `batch ${job.batch}`].filter(Boolean).join(" · ");
}

function state(job) {
  if (job.state === "failed") {
    return el("div", { class: "why" }, el("p", {}, errorWords(job.error.code)), el("p", { class: "help" }, job.error.message),
      el("p", { class: "code" }, `Code: ${job.error.code}`));
  }
  if (job.state !== "running") return null;
  const bar = el("progress", { max: 1, "aria-label": `Progress of ${nameOf(job)}` });
  bar.value = job.progress;
  return el("div", { class: "why" }, el("p", {}, jobLine(job)), bar);
}

function took(job) {
  if (!job.started_at) return job.finished_at ? "Not begun" : `Waiting for ${duration(between(job.created_at, null))}`;
  const waited = between(job.created_at, job.started_at);
  const worked = duration(between(job.started_at, job.finished_at));
  return el("span", {}, worked, waited >= 1 && el("span", { class: "help" }, `after waiting ${duration(waited)}`));
}

customElements.define("jobs-view", JobsView);
