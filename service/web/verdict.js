// What came of a fine-tuning: better or not, why, and how it looks.

import { announce } from "./announcer.js";
import { at, read } from "./api.js";
import "./compare-viewer.js";
import { el, fill } from "./dom.js";
import { percent, signed } from "./format.js";
import { icon } from "./icons.js";
import { errorBox } from "./state-words.js";
import { OBJECTIVES } from "./words.js";

const JUDGES = {
  "second frame": "The scene's other frame",
  recorrupted: "Noisier copies of the held-out parts",
  "twice the noise": "The same, at twice their noise",
  stein: "Stein's estimate",
  neighbours: "Neighbouring pixels (favours blur; not asked)",
};
const STAGES = { noisy: "Noisy", base: "Base", new: "New" };

/**
 * @param {any} job - A fine-tuning that has succeeded.
 * @param {(reference: string) => Promise<unknown>} makeDefault
 * @returns {HTMLElement[]}
 */
export function verdict(job, makeDefault) {
  const { report } = job;
  return [
    el("section", { class: `panel verdict ${report.better ? "better" : "same"}` },
      el("h2", {}, icon(report.better ? "done" : "minus"), report.better ? `Better than ${report.base}` : `Not surely better than ${report.base}`),
      report.reasons.map((reason) => el("p", {}, sentence(reason))),
      report.warnings.map((warning) => el("p", { class: "help" }, sentence(warning))),
      actions(job, makeDefault)),
    pictures(job),
    el("section", { class: "panel" },
      el("h2", {}, "What was measured"),
      gainTable(report),
      el("p", { class: "help" }, "Gain in decibels over the base, on parts of the captures that were held out. No clean picture is needed for that; the interval holds the truth in 95 of 100 cases."),
      el("dl", { class: "facts" }, facts(report))),
  ];
}

function actions(job, makeDefault) {
  const button = el("button", { type: "button", hidden: true }, `Make ${job.model} the default`);
  const said = el("div", { role: "status" });
  const sayDefault = (is) => {
    button.hidden = is;
    fill(said, is && el("p", { class: "help" }, `${job.model} is your default model now.`));
  };
  read(`/models/${encodeURIComponent(job.model)}`).then((model) => sayDefault(model.default), () => {});
  button.addEventListener("click", async () => {
    try {
      await makeDefault(job.model);
      sayDefault(true);
      announce(`${job.model} is the default.`);
    } catch (problem) {
      fill(said, errorBox(problem));
    }
  });
  return el("div", { class: "actions" }, button, el("a", { class: "button", href: `#/models/${job.model}` }, "Look at the model"), said);
}

/** Crops of the captures, each noisy, by the base and by the new model; these two also under a divider. */
function pictures(job) {
  const found = job.report.pictures ?? [];
  if (!found.length) return null;
  return el("section", { class: "panel" },
    el("h2", {}, "How it looks"),
    el("p", { class: "help" }, "A part of each capture that was held out, developed alike. Move the divider to see what the new model changes."),
    found.map((crop) => figure(job, crop)));
}

function figure(job, { capture, crop, files }) {
  const path = (stage) => `/jobs/${job.id}/files/${files[stage]}`;
  const viewer = el("compare-viewer");
  const [, , width, height] = crop;
  viewer.show({
    picture: { width, height }, before: () => path("base"), after: () => path("new"),
    wholeAfter: true, complete: true, name: capture, stages: [STAGES.base, STAGES.new],
  });
  const stills = Object.entries(STAGES).map(([stage, word]) => el("div", { class: "crop" },
    el("img", { src: at(path(stage)), alt: `${capture}: ${word.toLowerCase()}`, width, height, loading: "lazy" }), el("span", {}, word)));
  return el("figure", { class: "crops" },
    el("figcaption", { class: "crop-name" }, capture),
    el("div", { class: "crop-row" }, viewer, el("div", { class: "stills" }, stills)));
}

function gainTable(report) {
  const rows = Object.entries(report.gains).map(([name, gain]) => el("tr", {},
    el("th", { scope: "row" }, JUDGES[name] ?? name, name === report.judge && el("span", { class: "badge" }, "decided")),
    el("td", {}, signed(gain.db)), el("td", {}, `${signed(gain.low)} to ${signed(gain.high)}`), el("td", {}, gain.tiles)));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Gains" }, el("table", { class: "numbers" },
    el("thead", {}, el("tr", {}, ["Judge", "Gain, dB", "95 % interval, dB", "Tiles"].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, rows)));
}

function facts(report) {
  const rows = [
    ["Method", OBJECTIVES[report.objective] ?? report.objective],
    ["Training", `${report.training.steps.toLocaleString("en-GB")} steps`],
    ["Noise left", `${percent(report.error_ratio)} of the root-mean-square error of the captures`],
    ["Captures", report.captures.map((capture) => capture.name).join(", ")],
    ["Defective photosites", report.defects.toLocaleString("en-GB")],
  ];
  return rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
}

function sentence(words) {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}
