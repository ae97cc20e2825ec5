// How files are denoised: the model and the strength.

import { read } from "./api.js";
import { el, fill, newId } from "./dom.js";
import { percent } from "./format.js";
import { modelWords } from "./words.js";

/** `<settings-panel>`: fires "settings" with `{model, strength}` once a choice is made. */
export class SettingsPanel extends HTMLElement {
  #model = el("select", { id: newId("model"), onchange: () => this.#tell() });
  #strength = el("input", {
    type: "range", min: 0, max: 1, step: 0.05, value: 1, id: newId("strength"),
    oninput: () => this.#say(), onchange: () => this.#tell(),
  });
  #strengthText = el("output", { for: this.#strength.id });
  #modelHelp = el("p", { class: "help" });
  #models = [];

  connectedCallback() {
    if (this.firstChild) return;
    this.append(
      el("div", { class: "field" },
        el("label", { for: this.#model.id }, "Model"), this.#model, this.#modelHelp),
      el("div", { class: "field" },
        el("div", { class: "label-row" }, el("label", { for: this.#strength.id }, "Strength"), this.#strengthText),
        this.#strength,
        el("p", { class: "help" }, "100 % takes all noise away that the model can tell from detail; 0 % gives the file back as it was.")),
    );
    this.#say();
    this.load();
  }

  /** Reads which models there are. */
  async load() {
    try {
      this.#models = (await read("/models")).models;
    } catch {
      return; // the banner tells of a service that is away; the default needs no list
    }
    const standard = this.#models.find((model) => model.default);
    const others = this.#models.filter((model) => !model.default);
    fill(this.#model,
      el("option", { value: "" }, standard ? `${standard.reference} (default)` : "Default"),
      others.map((model) => el("option", { value: model.reference }, modelWords(model))));
    this.#say();
  }

  /** What is chosen. */
  get value() {
    return { model: this.#model.value, strength: Number(this.#strength.value) };
  }

  #say() {
    const { model, strength } = this.value;
    this.#strengthText.value = percent(strength);
    const chosen = this.#models.find((each) => (model ? each.reference === model : each.default));
    const others = !model && this.#models.some((each) => each.sensor !== "bayer");
    this.#modelHelp.textContent = [
      chosen?.description, others && "Files of X-Trans and monochrome sensors get models of their own.",
    ].filter(Boolean).join(" ");
  }

  #tell() {
    this.#say();
    this.dispatchEvent(new CustomEvent("settings", { detail: this.value }));
  }
}

customElements.define("settings-panel", SettingsPanel);
