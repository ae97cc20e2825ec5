// Measures a model as the SIDD benchmark does, and shows the report.

import { at, begin, read } from "./api.js";
import { el, fill } from "./dom.js";
import { showEarlier } from "./earlier-jobs.js";
import { listModels } from "./finetune-view.js";
import { counted, decibels, duration, moment, signed } from "./format.js";
import { icon } from "./icons.js";
import "./job-panel.js";
import { errorBox } from "./state-words.js";

const COLUMNS = ["Camera", "ISO", "Blocks", "Input, dB", "Output, dB", "Gain, dB", "Input SSIM", "Output SSIM"];
const SETS = { validation: "Validation blocks", benchmark: "Benchmark blocks" };

/** `<validate-view>`: a form, or one run. */
export class ValidateView extends HTMLElement {
  /** @param {string} id - Of a job; empty for the form. */
  show(id) {
    if (id) fill(this, runPage(id));
    else this.#showForm();
    if (id) this.querySelector("job-panel").show(id);
  }

  #showForm() {
    const model = el("select", { name: "model" }, el("option", { value: "" }, "Default"));
    const dataset = el("select", { name: "dataset" }, el("option", { value: "mini" }, "mini"));
    const said = el("div");
    const button = el("button", { class: "primary" }, icon("validate"), "Measure");
    const earlier = el("section", { class: "panel" });
    fill(this,
      el("div", { class: "view-head" }, el("h1", {}, "Validate"),
        el("p", { class: "lead" }, "Measures a model on pictures whose clean version is known: PSNR in decibels and SSIM, per camera and ISO, and the blocks where it does worst.")),
      el("div", { class: "columns" },
        el("form", { class: "panel form wide", onsubmit: (event) => this.#begin(event, said, button) },
          el("div", { class: "field" }, el("label", {}, el("span", {}, "Model"), model)),
          el("div", { class: "field" }, el("label", {}, el("span", {}, "Data set"), dataset),
            el("p", { class: "help" }, "“mini” comes with the service: 16 synthetic images of 4 blocks, done in less than a minute. Others, such as SIDD, are folders that the operator has placed below ", el("code", {}, "datasets/"), " in the data folder.")),
          el("div", { class: "field" }, el("label", {}, el("span", {}, "Noise of all images"),
            el("input", { name: "noise", placeholder: "0.001,0.00001", autocomplete: "off", spellcheck: "false" })),
            el("p", { class: "help" }, "Shot and read noise, with a comma: variance = shot × signal + read. Left empty, it is measured in each image.")),
          said, button),
        el("div", { class: "side" }, earlier)));
    listModels(model);
    listDatasets(dataset);
    showEarlier(earlier, "validate", (job) => `${job.model ?? job.parameters.model ?? "Default"} on ${job.parameters.dataset}`, "None yet.");
  }

  async #begin(event, said, button) {
    event.preventDefault();
    const fields = new FormData(event.target);
    button.disabled = true;
    fill(said);
    try {
      const wait = (seconds) => fill(said, seconds && el("p", { class: "help" }, `The service is busy; trying again in ${seconds} s`));
      const json = { model: fields.get("model") || null, dataset: fields.get("dataset"), noise: fields.get("noise") || null };
      const job = await begin("/jobs/validate", { json }, wait);
      location.hash = `#/validate/${job.id}`;
    } catch (problem) {
      fill(said, errorBox(problem));
      button.disabled = false;
    }
  }
}

/** Fills a choice with the data sets that the server has; one that cannot be measured on is shown, and cannot be chosen. */
async function listDatasets(select) {
  try {
    const { datasets } = await read("/datasets");
    fill(select, datasets.map(({ name, images }) => el("option", { value: name, disabled: images === null },
      `${name} (${images === null ? "no blocks that can be read" : counted(images, "image")})`)));
  } catch {
    // the banner tells of a service that is away; the set that ships needs no list
  }
}

function runPage(id) {
  const title = el("h1", {}, "Validation");
  const panel = el("job-panel");
  const result = el("div");
  panel.addEventListener("job", ({ detail: job }) => {
    title.textContent = `${job.model ?? job.parameters.model ?? "Default model"} on ${job.parameters.dataset}`;
    if (job.state === "succeeded") fill(result, report(job));
  });
  return [el("div", { class: "view-head" }, el("p", {}, el("a", { href: "#/validate" }, "Validate")), title), el("div", { class: "panel" }, panel), result];
}

function report(job) {
  const found = job.report;
  return [
    ...Object.entries(SETS).filter(([name]) => found[name]).map(([name, title]) => section(job, title, found[name])),
    el("section", { class: "panel" },
      el("h2", {}, "How it was measured"),
      el("dl", { class: "facts" }, [["Engine", found.engine], ["Packing", found.packing], ["Convention", found.convention], ["Software", found.software], ["Measured", moment(found.measured)]]
        .flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
      el("div", { class: "actions" },
        el("a", { class: "button", href: at(job.links.result), download: "report.json" }, icon("download"), "report.json"),
        Object.keys(job.files).filter((name) => !name.endsWith(".png")).map((name) => el("a", { class: "button", href: at(`/jobs/${job.id}/files/${name}`), download: name }, icon("download"), name)))),
  ];
}

function section(job, title, found) {
  const size = `${found.images} images of ${found.blocks_per_image} blocks, ${duration(found.seconds_per_megapixel)} per megapixel`;
  if (!found.mean) {
    return el("section", { class: "panel" }, el("h2", {}, title),
      el("p", {}, `${size}. Their clean blocks are not public: the submission files are among the downloads below.`));
  }
  const { mean } = found;
  return el("section", { class: "panel" },
    el("h2", {}, title),
    el("div", { class: "figures" },
      figure(`${decibels(mean.psnr)} dB`, "PSNR"), figure(mean.ssim.toFixed(4), "SSIM"), figure(`${signed(mean.gain)} dB`, "gain over the input")),
    el("p", { class: "help" }, size),
    table(found),
    found.worst.length > 0 && el("h3", {}, "Blocks with the least gain"),
    found.worst.length > 0 && el("p", { class: "help" }, "Each noisy, denoised and clean, from left to right; brightened alike."),
    el("div", { class: "worst" }, found.worst.map((block) => worst(job, block))));
}

function figure(value, words) {
  return el("div", { class: "figure" }, el("span", { class: "value" }, value), el("span", { class: "help" }, words));
}

function table(found) {
  const everything = { camera: "All", iso: null, blocks: found.images * found.blocks_per_image, ...found.mean };
  const rows = [...found.groups, everything].map((row) => el("tr", { class: row.iso === null ? "sum" : null },
    el("th", { scope: "row" }, row.camera),
    [row.iso === null ? "all" : row.iso || "unknown", row.blocks, decibels(row.noisy_psnr), decibels(row.psnr), row.gain === null ? "∞" : signed(row.gain), row.noisy_ssim.toFixed(4), row.ssim.toFixed(4)]
      .map((value) => el("td", {}, value))));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Figures per camera and ISO" }, el("table", { class: "numbers" },
    el("thead", {}, el("tr", {}, COLUMNS.map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, rows)));
}

function worst(job, block) {
  const words = `${block.scene}, block ${block.block + 1}: ${decibels(block.noisy_psnr)} dB to ${decibels(block.psnr)} dB (${block.gain === null ? "∞" : signed(block.gain)} dB)`;
  return el("figure", {},
    el("img", { src: at(`/jobs/${job.id}/files/${block.file}`), alt: `Noisy, denoised and clean: ${words}`, loading: "lazy" }),
    el("figcaption", { class: "help" }, words));
}

customElements.define("validate-view", ValidateView);
