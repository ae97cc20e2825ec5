// The models that can be used: what they are, which one is the default, and the end of one's own.

import { announce } from "./announcer.js";
import { read, request } from "./api.js";
import { el, fill } from "./dom.js";
import { scientific, signed } from "./format.js";
import { icon } from "./icons.js";
import { errorBox } from "./state-words.js";
import { OBJECTIVES, SENSORS } from "./words.js";

/** `<models-view>`: the list, or one model with its manifest. */
export class ModelsView extends HTMLElement {
  /** @param {string} reference - NAME@VERSION; empty for the list. */
  async show(reference) {
    try {
      if (reference) fill(this, detail(await read(pathOf(reference))));
      else fill(this, this.#list((await read("/models")).models));
    } catch (problem) {
      fill(this, head("Models"), errorBox(problem));
    }
  }

  #list(models) {
    const sorted = [...models].sort((one, other) => other.default - one.default || other.own - one.own);
    return [
      head("Models", "What takes the noise away. The default is used for raws of Bayer sensors wherever none is chosen; models that you fine-tune are seen by you alone."),
      el("ul", { class: "models" }, sorted.map((model) => el("li", { class: "panel" }, this.#card(model)))),
    ];
  }

  #card(model) {
    const said = el("div");
    return [
      el("div", { class: "title-row" },
        el("h2", {}, el("a", { href: `#/models/${model.reference}` }, model.reference)),
        model.default && el("span", { class: "badge succeeded" }, icon("done"), "Default"),
        model.own && el("span", { class: "badge" }, "Yours")),
      el("p", {}, model.description),
      gains(model.metrics.gain_db),
      el("div", { class: "actions" },
        !model.default && model.sensor === "bayer" && el("button", { type: "button", onclick: () => this.#makeDefault(model, said) }, "Make default"),
        model.own && !model.default && this.#deleteButton(model, said)),
      said,
    ];
  }

  async #makeDefault(model, said) {
    try {
      await request("PUT", `${pathOf(model.reference)}/default`);
      announce(`${model.reference} is the default.`);
      await this.show("");
    } catch (problem) {
      fill(said, errorBox(problem));
    }
  }

  /** Asks a second time in place: deleting a model cannot be undone. */
  #deleteButton(model, said) {
    const remove = async () => {
      try {
        await request("DELETE", pathOf(model.reference));
        announce(`${model.reference} is deleted.`);
        await this.show("");
      } catch (problem) {
        fill(said, errorBox(problem));
      }
    };
    const ask = () => {
      const keep = el("button", { type: "button", onclick: () => fill(said) }, "Keep it");
      fill(said, el("p", {}, `Delete ${model.reference} for good?`),
        el("div", { class: "actions" }, el("button", { type: "button", class: "danger", onclick: remove }, icon("trash"), "Delete"), keep));
      keep.focus();
    };
    return el("button", { type: "button", class: "quiet", onclick: ask }, icon("trash"), "Delete");
  }
}

function pathOf(reference) {
  return `/models/${encodeURIComponent(reference)}`;
}

function head(title, lead = null) {
  return el("div", { class: "view-head" }, el("h1", {}, title), lead && el("p", { class: "lead" }, lead));
}

/** What a model gains at a few strengths of noise, the faintest first. */
function gains(found) {
  const points = Object.entries(found).map(([shot, gain]) => [Number(shot), gain]).sort(([one], [other]) => one - other);
  if (!points.length) return null;
  const table = el("table", { class: "numbers compact" },
    el("thead", {}, el("tr", {}, el("th", { scope: "row" }, "Shot noise"), points.map(([shot]) => el("th", { scope: "col" }, shot.toString())))),
    el("tbody", {}, el("tr", {}, el("th", { scope: "row" }, "Gain, dB"), points.map(([, gain]) => el("td", {}, signed(gain, 1))))));
  return el("div", { class: "gains" },
    el("p", { class: "help" }, "Gain over the noisy picture, by shot noise (more: higher ISO)"),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Gain by strength of noise" }, table));
}

function detail(model) {
  const range = Object.entries(model.noise_range).map(([name, [low, high]]) => `${name.replace("_", " ")} ${scientific(low)} to ${scientific(high)}`).join(", ");
  const rows = [
    ["Description", model.description],
    ["For sensors", SENSORS[model.sensor] ?? model.sensor],
    ["Training method", OBJECTIVES[model.objective] ?? model.objective],
    ["Learned from", model.training_data],
    ["Licence", model.licence],
    ["Fine-tuned from", model.parent && el("a", { href: `#/models/${model.parent}` }, model.parent)],
    ["Noise met in training", range],
    ["Published", model.created],
  ];
  return [
    el("div", { class: "view-head" }, el("p", {}, el("a", { href: "#/models" }, "Models")),
      el("div", { class: "title-row" }, el("h1", {}, model.reference),
        model.default && el("span", { class: "badge succeeded" }, icon("done"), "Default"),
        model.own && el("span", { class: "badge" }, "Yours"))),
    el("section", { class: "panel" },
      el("dl", { class: "facts" }, rows.filter(([, value]) => value).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
      gains(model.metrics.gain_db)),
    el("section", { class: "panel" }, el("h2", {}, "Manifest"),
      el("p", { class: "help" }, "All that is recorded of this model, as it was published."),
      el("pre", { class: "manifest", tabindex: 0, role: "region", "aria-label": "Manifest" }, JSON.stringify(model.manifest, null, 2))),
  ];
}

customElements.define("models-view", ModelsView);
