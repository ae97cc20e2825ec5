// The chosen file, large: its picture before and after, what was found in it, and what can be done with it.

import { address, at } from "./api.js";
import { previewAddresses } from "./compare-viewer.js";
import { el, fill } from "./dom.js";
import { bytes, duration, percent, scientific } from "./format.js";
import { icon } from "./icons.js";
import { loadFacts } from "./pictures.js";
import { badge, errorBox, itemLine, itemShare, setProgress } from "./state-words.js";
import { patternWords, sourceWords } from "./words.js";

/** Longest side of a crop that is denoised for a quick look. */
const LONGEST_TRIAL = 2048;

/** `<item-stage>`: shows one item of the desk. Fires "start", "again" and "cancel" with it. */
export class ItemStage extends HTMLElement {
  /** @type {import("./desk.js").Item | null} */
  #item = null;
  #settings = { model: "", strength: 1 };
  #shown = "";
  #facts = null;
  #loading = new AbortController();
  #title = el("h2", { class: "stage-title" });
  #badge = el("span");
  #line = el("p", { class: "stage-line" });
  #bar = el("progress", { max: 1, "aria-label": "Progress" });
  #viewer = el("compare-viewer");
  #body = el("div", { class: "stage-body" });
  #list = el("dl", { class: "facts" });
  #actions = el("div", { class: "actions" });

  connectedCallback() {
    if (this.firstChild) return;
    this.append(
      el("header", { class: "stage-head" }, el("div", { class: "title-row" }, this.#title, this.#badge, this.#actions), this.#line, this.#bar),
      this.#body, this.#list);
  }

  disconnectedCallback() {
    this.#loading.abort();
  }

  /**
   * Shows an item, or what has changed of it.
   * @param {import("./desk.js").Item} item
   */
  show(item) {
    const other = item !== this.#item;
    this.#item = item;
    if (other) this.#shown = "";
    this.#title.textContent = item.name;
    fill(this.#badge, item.phase === "job" && badge(item.job.state));
    this.#line.textContent = item.done || item.phase === "failed" || item.job?.state === "failed" ? "" : itemLine(item);
    this.#line.hidden = !this.#line.textContent;
    this.#bar.hidden = !item.busy;
    setProgress(this.#bar, itemShare(item));
    this.#showBody(other);
    this.#showActions();
  }

  /**
   * Other settings: a file that is not begun shows at once what they do.
   * @param {{model: string, strength: number}} settings
   */
  set settings(settings) {
    this.#settings = settings;
    if (this.#item?.phase === "uploaded" && this.#facts) this.#showTrial(true);
    if (this.#item) this.#showActions();
  }

  /** What belongs in the middle changes with the phase, not with each step of the progress. */
  #showBody(other) {
    const item = this.#item;
    const failed = item.phase === "failed" ? item.problem : item.job?.error ?? item.problem;
    const path = item.previewPath;
    const wanted = failed ? `error ${failed.code}` : path ? `${path} ${item.done}` : `${item.phase} ${item.job?.state}`;
    const goesOn = item.phase === "starting" && !other && this.#viewer.isConnected;
    if (wanted === this.#shown || goesOn) return;
    this.#shown = wanted;
    this.#loading.abort();
    this.#loading = new AbortController();
    if (failed) {
      fill(this.#body, errorBox(failed));
      fill(this.#list);
    } else if (path) this.#showPicture(path, !other);
    else {
      fill(this.#body, placeholder(item));
      fill(this.#list);
    }
  }

  async #showPicture(path, keepView) {
    const { signal } = this.#loading;
    const item = this.#item;
    if (!keepView || !this.#viewer.isConnected) fill(this.#body, el("div", { class: "placeholder" }, "Rendering the picture …"));
    this.#facts = null;
    try {
      const facts = await loadFacts(`${path}/preview-info`, signal);
      if (signal.aborted) return;
      this.#facts = facts;
      if (!this.#viewer.isConnected) fill(this.#body, this.#viewer);
      this.#showFacts(facts);
      if (item.phase === "uploaded") this.#showTrial(false);
      else this.#showStages(path, item.done, keepView);
    } catch (problem) {
      if (!signal.aborted) fill(this.#body, item.busy ? placeholder(item) : errorBox(problem)); // the job will say it
    }
  }

  /** The picture that came, and, once it is done, the denoised one. */
  #showStages(path, done, keepView) {
    const { before, after } = previewAddresses(path, address);
    this.#viewer.show({ picture: this.#facts.picture, before, after: done ? after : null, wholeAfter: true }, { keepView });
  }

  #showTrial(keepView) {
    const { model, strength } = this.#settings;
    const addresses = previewAddresses(`/uploads/${this.#item.upload}`, address, { model, strength });
    const source = { picture: this.#facts.picture, ...addresses, wholeAfter: false, longestCrop: LONGEST_TRIAL };
    this.#viewer.show(source, { keepView, pixels: true });
  }

  #showActions() {
    const item = this.#item;
    const fire = (name) => () => this.dispatchEvent(new CustomEvent(name, { detail: item }));
    const { strength } = this.#settings;
    fill(this.#actions,
      item.phase === "uploaded" && el("button", { type: "button", class: "primary", onclick: fire("start") },
        icon("denoise"), `Denoise at ${percent(strength)}`),
      item.done && el("a", { class: "button primary", href: at(item.job.links.result), download: item.job.result.name },
        icon("download"), el("span", {}, "Download DNG", el("span", { class: "wide-only" }, ` (${bytes(item.job.result.bytes)})`))),
      item.done && item.file && el("button", { type: "button", onclick: fire("again") },
        el("span", {}, "Denoise again", el("span", { class: "wide-only" }, ` at ${percent(strength)}`))),
      item.phase === "failed" && item.file && el("button", { type: "button", onclick: fire("again") }, "Try again"),
      item.busy && el("button", { type: "button", onclick: fire("cancel") }, icon("close"), "Cancel"));
  }

  #showFacts(facts) {
    const job = this.#item.job;
    const noise = noiseOf(job, facts);
    const exposure = [
      facts.iso && `ISO ${facts.iso}`,
      facts.exposure_time_s && shutter(facts.exposure_time_s),
      facts.f_number && `f/${facts.f_number}`,
    ].filter(Boolean).join(", ");
    const rows = [
      ["Camera", facts.camera],
      ["Exposure", exposure],
      ["Raw", `${facts.size[0]} × ${facts.size[1]} photosites, ${patternWords(facts)}, ${facts.bits_per_sample} bits`],
      ["Noise", noise && el("span", {}, `shot ${scientific(noise.shot)}, read ${scientific(noise.read)}`,
        el("span", { class: "help" }, `, ${sourceWords(noise.source)}`),
        el("span", { class: "help below" }, "Variance = shot × signal + read, the signal running from 0 at black to 1 at white."))],
      ["Denoised", job?.report && `${job.model} at ${percent(job.report.strength)}, in ${duration(seconds(job.report.seconds))}`],
      ["Precision", job?.report?.precision_shift > 0 && `16 bits instead of ${facts.bits_per_sample}: the noise had hidden finer steps`],
      ...(job?.report?.warnings ?? facts.warnings ?? []).map((warning) => ["Note", sentence(warning)]),
    ];
    fill(this.#list, rows.filter(([, value]) => value).map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]).flat());
  }
}

function noiseOf(job, facts) {
  const told = job?.report?.noise;
  if (told) return { shot: mean(told.shot_noise), read: mean(told.read_noise), source: job.report.noise_source };
  return facts.noise && { shot: mean(facts.noise.shot), read: mean(facts.noise.read), source: facts.noise_source };
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function seconds(parts) {
  return Object.values(parts).reduce((sum, part) => sum + part, 0);
}

function shutter(time) {
  return time < 0.3 ? `1/${Math.round(1 / time)} s` : `${time} s`;
}

function sentence(words) {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}

function placeholder(item) {
  return el("div", { class: "placeholder" }, placeholderWords(item));
}

function placeholderWords(item) {
  if (item.job?.state === "cancelled") return "Cancelled. Nothing was kept of it.";
  if (item.phase === "job") return "The picture appears here when it is done.";
  return "The picture appears here when the file is uploaded.";
}

customElements.define("item-stage", ItemStage);
