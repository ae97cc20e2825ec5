// The captures that there are, to choose from; more can be uploaded, and those not wanted any more deleted.

import { announce } from "./announcer.js";
import { address, at, persist, read, request } from "./api.js";
import { el, fill } from "./dom.js";
import "./drop-zone.js";
import { counted, percent, scientific } from "./format.js";
import { icon } from "./icons.js";
import { errorBox } from "./state-words.js";
import { uploadCapture } from "./upload.js";
import { errorWords } from "./words.js";

const PAGE = 48;
const LOOK_AGAIN_MS = 1500;

/** `<capture-picker>`: fires "chosen" when other captures are chosen. */
export class CapturePicker extends HTMLElement {
  /** @type {Set<string>} */
  chosen = new Set();
  /** @type {Map<string, {capture: any, card: HTMLElement, text: string}>} */
  #cards = new Map();
  #cursor = null;
  #timer = 0;
  #leaving = new AbortController();
  #drop = el("drop-zone");
  #uploads = el("ul", { class: "uploads" });
  #grid = el("ul", { class: "captures", "aria-label": "Captures" });
  #said = el("div");
  #more = el("button", { type: "button", hidden: true, onclick: () => this.#load(this.#cursor) }, "More captures");

  connectedCallback() {
    if (!this.firstChild) {
      this.#drop.heading = "Add captures";
      this.#drop.hint = "Noisy raw files of your camera, as it makes them. Kept until you delete them.";
      this.#drop.addEventListener("files", (event) => this.#take(event.detail));
      this.append(this.#drop, this.#uploads, this.#said, this.#grid, this.#more);
    }
    this.#leaving = new AbortController();
    this.#load(null);
  }

  disconnectedCallback() {
    clearTimeout(this.#timer);
    this.#leaving.abort();
  }

  async #load(cursor) {
    const { signal } = this.#leaving;
    try {
      const page = await read(address("/captures", { limit: PAGE, cursor }), signal);
      for (const capture of page.captures) this.#put(capture);
      if (cursor !== null || this.#cards.size <= PAGE) this.#cursor = page.next_cursor;
      this.#more.hidden = this.#cursor === null;
      fill(this.#said, this.#cards.size === 0 && el("p", { class: "help" }, "There are no captures yet. A dozen ordinary pictures of one camera, at the ISO that bothers you, are a good beginning."));
      this.#watch();
    } catch (problem) {
      if (!signal.aborted) fill(this.#said, errorBox(problem));
    }
  }

  /** Looks again while a worker is still looking at some. */
  #watch() {
    clearTimeout(this.#timer);
    const pending = [...this.#cards.values()].filter(({ capture }) => capture.state === "pending");
    if (!pending.length) return;
    this.#timer = setTimeout(async () => {
      const { signal } = this.#leaving;
      const found = await Promise.allSettled(pending.map(({ capture }) => read(`/captures/${capture.id}`, signal)));
      for (const { value } of found) if (value) this.#put(value);
      this.#watch();
    }, LOOK_AGAIN_MS);
  }

  #put(capture) {
    const text = JSON.stringify(capture);
    const known = this.#cards.get(capture.id);
    if (capture.state === "unusable" && this.chosen.has(capture.id)) this.#choose(capture.id, false);
    if (known?.text === text) {
      known.card.querySelector("input").checked = this.chosen.has(capture.id); // the same file again is chosen, too
      return;
    }
    const card = this.#card(capture);
    if (known) known.card.replaceWith(card);
    else this.#grid.append(card);
    this.#cards.set(capture.id, { capture, card, text });
  }

  #card(capture) {
    const usable = capture.state === "usable";
    const box = el("input", {
      type: "checkbox", disabled: !usable, checked: this.chosen.has(capture.id),
      onchange: () => this.#choose(capture.id, box.checked),
    });
    const picture = capture.links.thumbnail
      ? el("img", { src: at(capture.links.thumbnail), alt: "", loading: "lazy" })
      : el("span", { class: "no-picture" }, capture.state === "pending" ? "Being looked at …" : "No picture");
    return el("li", { class: `capture ${capture.state}` },
      el("label", {}, el("span", { class: "frame" }, picture, box),
        el("span", { class: "capture-name", title: capture.name }, capture.name),
        el("span", { class: "help" }, [capture.camera, capture.iso ? `ISO ${capture.iso}` : null].filter(Boolean).join(" · ") || "Camera not known"),
        usable && el("span", { class: "help" }, `Shot noise ${scientific(capture.noise.shot[0])}`),
        usable && el("span", { class: "help" }, `Read noise ${scientific(capture.noise.read[0])}`),
        capture.error && el("span", { class: "bad" }, errorWords(capture.error.code), el("span", { class: "help" }, capture.error.message))),
      el("button", { type: "button", class: "quiet square", "aria-label": `Delete ${capture.name}`, title: "Delete", onclick: () => this.#delete(capture) }, icon("trash")));
  }

  #choose(id, wanted) {
    if (wanted) this.chosen.add(id);
    else this.chosen.delete(id);
    this.dispatchEvent(new Event("chosen"));
  }

  async #delete(capture) {
    try {
      const told = await (await request("DELETE", `/captures/${capture.id}`)).json();
      this.#cards.get(capture.id).card.remove();
      this.#cards.delete(capture.id);
      this.#choose(capture.id, false);
      const stay = told.models.length ? ` Models that learned from it stay: ${told.models.join(", ")}.` : "";
      announce(`${capture.name} deleted.${stay}`);
    } catch (problem) {
      fill(this.#said, errorBox(problem));
    }
  }

  async #take(files) {
    announce(`${counted(files.length, "capture")} being uploaded.`);
    for (const file of files) await this.#upload(file); // one after the other: each has the whole line
    fill(this.#said);
    await this.#load(null);
  }

  async #upload(file) {
    const bar = el("progress", { max: 1, value: 0, "aria-label": `Upload of ${file.name}` });
    const line = el("span", { class: "help" });
    const row = el("li", {}, el("span", { class: "capture-name" }, file.name), bar, line);
    this.#uploads.append(row);
    const { signal } = this.#leaving;
    const once = () => uploadCapture(file, (share) => { bar.value = share; line.textContent = percent(share); }, signal);
    try {
      const capture = await persist(once, (wait) => { line.textContent = `The service is busy; trying again in ${wait} s`; }, signal);
      this.chosen.add(capture.id);
      this.#put(capture);
      this.dispatchEvent(new Event("chosen"));
      row.remove();
    } catch (problem) {
      bar.remove();
      line.remove();
      if (!signal.aborted) row.append(errorBox(problem), el("button", { type: "button", class: "quiet", onclick: () => row.remove() }, "Dismiss"));
    }
  }
}

customElements.define("capture-picker", CapturePicker);
