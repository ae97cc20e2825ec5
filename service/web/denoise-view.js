// The first view: files in, the list of them, the chosen one large.

import { announce } from "./announcer.js";
import { address, at } from "./api.js";
import "./compare-viewer.js";
import { Desk } from "./desk.js";
import { el, fill } from "./dom.js";
import "./drop-zone.js";
import { counted, percent } from "./format.js";
import { icon } from "./icons.js";
import "./item-row.js";
import "./item-stage.js";
import "./settings-panel.js";
import { errorBox, itemLine } from "./state-words.js";

const NARROW = matchMedia("(width < 64rem)");
const TRY_FIRST = "photosite-try-first";

/** `<denoise-view>`: stays in memory while other views are shown, so that uploads go on. */
export class DenoiseView extends HTMLElement {
  #desk = new Desk();
  #restored = this.#desk.restore();
  /** @type {import("./desk.js").Item | null} */
  #picked = null;
  /** @type {Map<import("./desk.js").Item, HTMLElement>} */
  #rows = new Map();
  #list = el("ul", { class: "items", "aria-label": "Files" });
  #bulk = el("div", { class: "bulk" });
  #stage = el("item-stage");
  #drop = el("drop-zone");
  #settings = el("settings-panel");
  #chosen = el("span", { class: "chosen" });
  #notice = el("div", { class: "notice" });
  #told = new WeakMap();

  connectedCallback() {
    if (!this.firstChild) this.#build();
    document.title = "Denoise · Photosite";
  }

  /**
   * @param {string} id - Of a job to show; empty for what was shown.
   */
  async show(id) {
    await this.#restored;
    fill(this.#notice);
    if (!id) {
      if (this.#picked?.job) this.#pick(this.#picked);
      return;
    }
    try {
      this.#pick(await this.#desk.adopt(id));
    } catch (problem) {
      fill(this.#notice, errorBox(problem));
    }
  }

  #build() {
    const tryFirst = el("input", {
      type: "checkbox", checked: localStorage.getItem(TRY_FIRST) === "yes",
      onchange: () => this.#chooseWhen(tryFirst.checked),
    });
    this.#desk.atOnce = !tryFirst.checked;
    this.#drop.heading = "Drop raw files here";
    this.#drop.hint = "DNG, or your camera's own format. Kept on this service only.";
    this.append(
      el("h1", { class: "visually-hidden" }, "Denoise raw files"),
      this.#notice,
      el("div", { class: "tray" },
        this.#drop,
        el("details", { class: "panel settings", open: true }, el("summary", {}, "Settings", this.#chosen),
          this.#settings,
          el("label", { class: "check" }, tryFirst,
            el("span", {}, "Try the settings on a crop first",
              el("span", { class: "help" }, "Else each file is denoised as soon as it is uploaded.")))),
        this.#bulk,
        this.#list),
      el("div", { class: "intro" },
        el("p", { class: "lead" }, "A raw goes in, the same raw comes out, without the noise."),
        el("ol", { class: "steps" },
          el("li", {}, el("strong", {}, "Drop"), " one raw file, or all of a shoot, of nearly any camera: with a Bayer, X-Trans or monochrome sensor."),
          el("li", {}, el("strong", {}, "Compare"), " before and after, down to single pixels."),
          el("li", {}, el("strong", {}, "Download"), " a DNG that every raw editor opens as before: same colours, same metadata."))),
      this.#stage);
    this.#drop.addEventListener("files", (event) => this.#take(event.detail));
    this.#settings.addEventListener("settings", (event) => {
      this.#desk.settings = event.detail;
      this.#stage.settings = event.detail;
      this.#sayChosen();
    });
    this.#sayChosen();
    this.#desk.addEventListener("list", () => this.#showList());
    this.#desk.addEventListener("change", (event) => this.#showChange(event.detail));
    this.#stage.addEventListener("start", (event) => this.#desk.start(event.detail));
    this.#stage.addEventListener("cancel", (event) => this.#desk.cancel(event.detail));
    this.#stage.addEventListener("again", (event) => this.#pick(this.#desk.again(event.detail)));
    this.#showList();
  }

  /** What the settings are, where they are folded away. */
  #sayChosen() {
    const { model, strength } = this.#desk.settings;
    this.#chosen.textContent = `: ${model || "default model"} at ${percent(strength)}`;
  }

  #chooseWhen(tryFirst) {
    this.#desk.atOnce = !tryFirst;
    localStorage.setItem(TRY_FIRST, tryFirst ? "yes" : "no");
  }

  #take(files) {
    const [first] = this.#desk.add(files);
    announce(`${counted(files.length, "file")} added.`);
    if (this.#desk.atOnce && NARROW.matches) this.querySelector(".settings").open = false; // leaves room for the picture
    this.#pick(first);
  }

  #showList() {
    const items = this.#desk.items;
    for (const item of items) if (!this.#rows.has(item)) this.#rows.set(item, this.#row(item));
    for (const item of [...this.#rows.keys()]) if (!items.includes(item)) this.#rows.delete(item);
    fill(this.#list, [...this.#rows.values()]);
    this.toggleAttribute("empty", !items.length);
    if (!this.#picked || !items.includes(this.#picked)) this.#pick(items.at(-1) ?? null);
    this.#showBulk();
  }

  #row(item) {
    const row = el("item-row", {
      onpick: () => this.#pick(item),
      "ondrop-item": () => (item.busy ? this.#desk.cancel(item) : this.#desk.remove(item)),
    });
    row.item = item;
    return el("li", {}, row);
  }

  #showChange(item) {
    this.#rows.get(item)?.firstChild.update();
    if (item === this.#picked) this.#stage.show(item);
    const state = item.phase === "job" ? item.job.state : item.phase;
    if (this.#told.get(item) === state) return;
    this.#told.set(item, state);
    if (!item.busy) announce(`${item.name}: ${item.done ? "done" : itemLine(item)}`);
    if (item === this.#picked) this.#remember();
    this.#showBulk();
  }

  #pick(item) {
    this.#picked = item;
    for (const [each, row] of this.#rows) row.firstChild.picked = each === item;
    this.#stage.hidden = !item;
    if (item) this.#stage.show(item);
    this.#remember();
  }

  /** The chosen job is in the address, so that it is there again after loading. */
  #remember() {
    const hash = this.#picked?.job ? `#/denoise/${this.#picked.job.id}` : "#/denoise";
    if (this.isConnected && location.hash !== hash) history.replaceState(null, "", hash);
  }

  #showBulk() {
    const ready = this.#desk.items.filter((item) => item.phase === "uploaded");
    const done = this.#desk.items.filter((item) => item.done);
    const archive = at(address("/jobs/results.zip", { id: done.map((item) => item.job.id) }));
    fill(this.#bulk,
      ready.length > 1 && el("button", { type: "button", class: "primary", onclick: () => this.#desk.startAll() },
        icon("denoise"), `Denoise all ${ready.length} files`),
      done.length > 1 && el("a", { class: "button", href: archive, download: "denoised.zip" },
        icon("download"), `Download all ${done.length} as a zip`));
  }
}

customElements.define("denoise-view", DenoiseView);
