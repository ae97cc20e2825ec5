// What is going on with a job or an item, in one line.

import { el } from "./dom.js";
import { counted, left, percent } from "./format.js";
import { icon } from "./icons.js";
import { STATES, errorWords, stageWords } from "./words.js";

/** Seconds that a job may wait, with nothing before it and nothing running, until workers seem to be down. */
const PATIENCE_S = 20;

/**
 * How far a job is, in words.
 * @param {any} job
 * @returns {string}
 */
export function jobLine(job) {
  if (job.state === "queued") return queuedLine(job);
  if (job.state === "running") return runningLine(job);
  if (job.state === "failed") return errorWords(job.error?.code);
  return STATES[job.state];
}

function queuedLine(job) {
  if (!job.place) return "Waiting for its turn";
  const { ahead, running } = job.place;
  if (ahead) return `Waiting, ${counted(ahead, "job")} before it`;
  const waited = (Date.now() - Date.parse(job.created_at)) / 1000;
  if (running === 0 && waited > PATIENCE_S) return "Next in line, but nothing is being worked on: the service's workers seem to be down";
  return "Next in line";
}

function runningLine(job) {
  const eta = job.figures?.eta_s;
  const done = job.progress > 0 ? `, ${percent(job.progress)}` : "";
  const again = job.attempt > 1 ? ` (attempt ${job.attempt})` : "";
  return `${stageWords(job.stage)}${done}${again}${eta === undefined ? "" : `, ${left(eta)}`}`;
}

/**
 * The same of an item of the desk.
 * @param {import("./desk.js").Item} item
 * @returns {string}
 */
export function itemLine(item) {
  if (item.wait) return `The service is busy; trying again in ${item.wait} s`;
  if (item.phase === "waiting") return "Waiting to be uploaded";
  if (item.phase === "uploading") return item.sent < 1 ? `Uploading, ${percent(item.sent)}` : "Storing safely";
  if (item.phase === "uploaded") return "Uploaded; ready to be denoised";
  if (item.phase === "starting") return "Handing it in";
  if (item.phase === "failed") return errorWords(item.problem.code);
  return item.problem ? errorWords(item.problem.code) : jobLine(item.job);
}

/**
 * A badge that says a job's state by word and shape, not by colour alone.
 * @param {string} state
 */
export function badge(state) {
  const signs = { succeeded: "done", failed: "warning", cancelled: "close" };
  return el("span", { class: `badge ${state}` }, signs[state] && icon(signs[state]), STATES[state] ?? state);
}

/**
 * Why something did not work: for a photographer first, then what the service said, the code last.
 * @param {{code: string, message?: string, detail?: string}} error
 */
export function errorBox(error) {
  const said = error.detail ?? error.message;
  return el("div", { class: "error-box", role: "alert" },
    icon("warning"),
    el("div", {},
      el("p", { class: "error-words" }, errorWords(error.code)),
      said && el("p", { class: "error-said" }, said.charAt(0).toUpperCase() + said.slice(1)),
      el("p", { class: "code" }, `Code: ${error.code}`)));
}

/**
 * Shows a bar, or that nobody knows how far it is.
 * @param {HTMLProgressElement} bar
 * @param {number | null} share
 */
export function setProgress(bar, share) {
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
}

/** @param {import("./desk.js").Item} item @returns {number | null} */
export function itemShare(item) {
  if (item.phase === "uploading") return item.sent;
  if (item.phase === "job" && item.job.state === "running" && item.job.stage === "network") return item.job.progress;
  return null;
}
