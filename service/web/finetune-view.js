// Adapts a model to a camera: choose captures, begin, watch it learn, read the verdict.

import { begin, read, request } from "./api.js";
import "./capture-picker.js";
import { el, fill } from "./dom.js";
import { showEarlier } from "./earlier-jobs.js";
import { counted } from "./format.js";
import { icon } from "./icons.js";
import "./job-panel.js";
import "./loss-curve.js";
import { errorBox } from "./state-words.js";
import { verdict } from "./verdict.js";
import { OBJECTIVES } from "./words.js";

const METHODS = ["auto", "recorrupted", "noise2noise", "neighbor2neighbor", "blind2unblind"];

/** `<finetune-view>`: a form, or one run. */
export class FinetuneView extends HTMLElement {
  /** @param {string} id - Of a job; empty for the form. */
  show(id) {
    if (id) fill(this, runPage(id));
    else this.#showForm();
    if (id) this.querySelector("job-panel").show(id);
  }

  #showForm() {
    const picker = el("capture-picker");
    const button = el("button", { class: "primary", disabled: true }, icon("finetune"), "Begin");
    const said = el("div");
    const count = el("p", { class: "help", role: "status" });
    const base = el("select", { name: "base" }, el("option", { value: "" }, "Default"));
    const sayCount = () => {
      button.disabled = picker.chosen.size === 0;
      count.textContent = picker.chosen.size ? `${counted(picker.chosen.size, "capture")} chosen.` : "Choose at least one capture.";
    };
    picker.addEventListener("chosen", sayCount);
    const form = el("form", { class: "panel form", onsubmit: (event) => this.#begin(event, picker, said, button) },
      field("Name of the new model", el("input", { name: "name", required: true, pattern: "[a-z0-9][a-z0-9._\\-]{0,63}", maxlength: 64, placeholder: "my-camera", autocomplete: "off", spellcheck: "false" }),
        "Small letters, digits, dots and dashes. A name that exists gets a new version."),
      field("Model to begin with", base, "The new one is judged against it."),
      field("Method", el("select", { name: "objective" }, METHODS.map((name) => el("option", { value: name }, OBJECTIVES[name]))),
        "Automatic: Noise2Noise where captures show one static scene several times, else Recorrupted."),
      budgetField(),
      el("label", { class: "check" }, el("input", { type: "checkbox", name: "make_default", checked: true }),
        el("span", {}, "Make it the default if it is better")),
      said, count, button);
    const earlier = el("section", { class: "panel" });
    fill(this,
      el("div", { class: "view-head" }, el("h1", {}, "Fine-tune"),
        el("p", { class: "lead" }, "Adapts a model to your camera from its own noisy pictures. Clean pictures are not needed; part of each capture is held out and judged on.")),
      el("div", { class: "columns" },
        el("section", { class: "wide", "aria-label": "Captures" }, picker), el("div", { class: "side" }, form, earlier)));
    sayCount();
    listModels(base);
    showEarlier(earlier, "finetune", (job) => job.parameters.name, "None yet.");
  }

  async #begin(event, picker, said, button) {
    event.preventDefault();
    const fields = new FormData(event.target);
    const wishes = {
      captures: [...picker.chosen],
      name: fields.get("name"),
      base: fields.get("base") || null,
      objective: fields.get("objective"),
      [fields.get("unit")]: Number(fields.get("budget")),
      make_default: fields.has("make_default"),
    };
    button.disabled = true;
    fill(said);
    try {
      const wait = (seconds) => fill(said, seconds && el("p", { class: "help" }, `The service is busy; trying again in ${seconds} s`));
      const job = await begin("/jobs/finetune", { json: wishes }, wait);
      location.hash = `#/finetune/${job.id}`;
    } catch (problem) {
      fill(said, errorBox(problem));
      button.disabled = false;
    }
  }
}

function budgetField() {
  const unit = el("select", { name: "unit", "aria-label": "Unit of the budget" }, el("option", { value: "minutes" }, "minutes"), el("option", { value: "steps" }, "steps"));
  const input = el("input", { type: "number", name: "budget", min: 0.1, max: 1440, step: "any", value: 10, required: true });
  unit.addEventListener("change", () => {
    const minutes = unit.value === "minutes";
    Object.assign(input, { min: minutes ? 0.1 : 1, max: minutes ? 1440 : 1_000_000, step: minutes ? "any" : 1, value: minutes ? 10 : 2000 });
  });
  return field("Budget", input, "Training only; looking at the captures and the judgement take a little longer. Pictures that somebody waits for go first.", unit);
}

function field(words, input, help, beside = null) {
  const labelled = el("label", {}, el("span", {}, words), input);
  return el("div", { class: "field" }, beside ? el("div", { class: "with-unit" }, labelled, beside) : labelled, el("p", { class: "help" }, help));
}

/**
 * Fills a choice with the models that there are for Bayer sensors: what learns or is measured here knows no other.
 * @param {HTMLElement} select
 */
export async function listModels(select) {
  try {
    const models = (await read("/models")).models.filter((model) => model.sensor === "bayer");
    const standard = models.find((model) => model.default);
    fill(select, el("option", { value: "" }, standard ? `${standard.reference} (default)` : "Default"),
      models.filter((model) => !model.default).map((model) => el("option", { value: model.reference }, model.reference)));
  } catch {
    // the banner tells of a service that is away; the default needs no list
  }
}

function runPage(id) {
  const title = el("h1", {}, "Fine-tune");
  const panel = el("job-panel");
  const curve = el("loss-curve", { hidden: true });
  const result = el("div");
  /** @type {[number, number][]} */
  const seen = [];
  panel.addEventListener("job", ({ detail: job }) => {
    title.textContent = job.parameters.name;
    const { step, steps, loss, curve: history } = job.figures;
    if (loss !== undefined && seen.at(-1)?.[0] !== step) seen.push([step, loss]);
    curve.draw(job.report?.curve ?? history ?? seen, job.report?.training.steps ?? steps ?? job.parameters.steps ?? undefined);
    if (job.state === "succeeded") fill(result, verdict(job, (reference) => makeDefault(reference)));
  });
  return [
    el("div", { class: "view-head" }, el("p", {}, el("a", { href: "#/finetune" }, "Fine-tune")), title),
    el("div", { class: "panel" }, panel, curve),
    result,
  ];
}

/** @param {string} reference */
function makeDefault(reference) {
  return request("PUT", `/models/${encodeURIComponent(reference)}/default`);
}

customElements.define("finetune-view", FinetuneView);
