// Before and after in one frame: a divider to move, zoom to single pixels, crops fetched as they come into sight.

import { Problem } from "./api.js";
import { el } from "./dom.js";
import { percent } from "./format.js";
import { icon } from "./icons.js";
import { loadPicture } from "./pictures.js";
import { Viewport } from "./viewport.js";
import { errorWords } from "./words.js";

/**
 * @typedef {import("./viewport.js").Area} Area
 * @typedef {object} Source - A picture in two stages.
 * @property {{width: number, height: number}} picture - Its full size.
 * @property {(area: Area | null) => string} before - The address of a crop, or of the whole picture.
 * @property {((area: Area | null) => string) | null} after - The same of the denoised one; null while there is none.
 * @property {boolean} wholeAfter - Whether the denoised one exists as a whole, or in crops only.
 * @property {number} [longestCrop] - Longest side of a crop that can be denoised.
 * @property {boolean} [complete] - Whether the whole picture has every pixel, so that no crop is ever asked for.
 * @property {string} [name] - What of, for readers of the screen.
 * @property {[string, string]} [stages] - What the two are called; before and after by default.
 */

const SETTLE_MS = 160;
const PAN_STEP = 64;
const ZOOM_STEP = 1.25;
const KEPT_CROPS = 4;
/** Full-size pixels for one pixel of the whole picture, as the service renders it. */
const WHOLE_REDUCTION = 2;
const WHOLE_LONGEST = 2048;
const STAGES = /** @type {[string, string]} */ (["Before", "After"]);
const KEYS = "Arrow keys move it, plus and minus zoom, 1 shows single pixels, 0 all of it.";
/** How far the whole picture may be enlarged until a crop is worth a rendering. */
const SOFTEST = 1.3;

/** One stage of the picture: the whole of it, and on top sharper crops. */
class Layer {
  /** @param {string} name */
  constructor(name) {
    this.plane = el("div", { class: "plane" });
    this.still = el("div", { class: "still" }, this.plane);
    this.element = el("div", { class: `layer ${name}` }, this.still);
    /** @type {Map<string, HTMLElement>} */
    this.shown = new Map();
  }

  /**
   * Shows only what is right of a line, or left of one by a line before 0 (−width: nothing): the box moves there, and what
   * is in it moves back by as much. So nothing is painted again, the compositor only puts what it has together anew.
   * @param {number} x - CSS pixels.
   */
  cut(x) {
    this.element.style.transform = `translateX(${x}px)`;
    this.still.style.transform = `translateX(${-x}px)`;
  }

  clear() {
    this.shown.clear();
    this.plane.replaceChildren();
  }

  /**
   * @param {string} address
   * @param {HTMLImageElement} picture
   * @param {Area} area
   */
  put(address, picture, area) {
    Object.assign(picture.style, {
      left: `${area.x}px`,
      top: `${area.y}px`,
      width: `${area.w}px`,
      height: `${area.h}px`,
    });
    this.plane.append(picture);
    this.shown.set(address, picture);
    const crops = [...this.shown].slice(1);
    for (const [old, element] of crops.slice(0, Math.max(0, crops.length - KEPT_CROPS))) {
      element.remove();
      this.shown.delete(old);
    }
  }
}

/** `<compare-viewer>`: give it a source by `show`. */
export class CompareViewer extends HTMLElement {
  /** @type {Source | null} */
  #source = null;
  #before = new Layer("before");
  #after = new Layer("after");
  #view = new Viewport({ width: 1, height: 1 });
  /** Ends with the source. */
  #showing = new AbortController();
  /** Ends with the place that is looked at. */
  #looking = new AbortController();
  #awaited = 0;
  /** Of the stage, in CSS pixels: asked for in each frame, it would have the page laid out in each. */
  #width = 0;
  #timer = 0;
  #frame = 0;
  #splitFrame = 0;
  #pointers = new Map();

  constructor() {
    super();
    this.slider = el("input", {
      type: "range", min: 0, max: 1000, value: 500, class: "divider-range",
      oninput: () => this.#split(),
    });
    this.handle = el("div", { class: "divider", "aria-hidden": "true" }, el("span", { class: "grip" }));
    this.thumb = el("div", { class: "thumb", "aria-hidden": "true" });
    this.note = el("p", { class: "viewer-note", role: "status" });
    this.tags = el("div", { class: "tags", "aria-hidden": "true" });
    this.stage = el("div", {
      class: "stage", tabindex: 0, role: "group",
      onkeydown: (event) => this.#key(event),
      onpointerdown: (event) => this.#press(event),
      onpointermove: (event) => this.#move(event),
      onpointerup: (event) => this.#release(event),
      onpointercancel: (event) => this.#release(event),
      ondblclick: (event) => this.#toggle(event),
    }, this.#before.element, this.#after.element, this.handle, this.tags, this.note);
    this.stage.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.zoomText = el("output", { class: "zoom-text", "aria-label": "Zoom" });
    this.toolbar = el("div", { class: "viewer-bar", role: "toolbar", "aria-label": "Zoom" },
      el("button", { type: "button", class: "quiet", onclick: () => this.#zoomTo(this.#view.fitting) }, icon("fit"), "Whole picture"),
      el("button", { type: "button", class: "quiet", title: "Single pixels", onclick: () => this.#zoomTo(this.#pixelScale) }, "1:1"),
      el("button", { type: "button", class: "quiet square", "aria-label": "Zoom out", onclick: () => this.#zoomBy(1 / ZOOM_STEP) }, icon("minus")),
      this.zoomText,
      el("button", { type: "button", class: "quiet square", "aria-label": "Zoom in", onclick: () => this.#zoomBy(ZOOM_STEP) }, icon("plus")));
    this.hint = el("p", { class: "help viewer-hint", "aria-hidden": "true" },
      el("span", { class: "of-divider" }, "Drag the divider to compare. "),
      el("span", { class: "for-mouse" }, "Scroll to zoom, double-click for single pixels, drag to look around."),
      el("span", { class: "for-touch" }, "Pinch to zoom, drag to look around."));
    this.observer = new ResizeObserver(() => this.#resize());
  }

  connectedCallback() {
    if (!this.firstChild) this.append(this.stage, el("div", { class: "slider-row" }, this.slider, this.thumb), this.toolbar, this.hint);
    this.observer.observe(this.stage);
    this.#split();
  }

  disconnectedCallback() {
    this.observer.disconnect();
    clearTimeout(this.#timer);
    cancelAnimationFrame(this.#frame);
    cancelAnimationFrame(this.#splitFrame);
    this.#showing.abort();
    this.#looking.abort();
  }

  /** Calls the two stages by their names. */
  #name({ name = "The picture", stages = STAGES, after }) {
    const [left, right] = stages.map((stage) => stage.toLowerCase());
    this.stage.setAttribute("aria-label", `${name}. ${KEYS}`);
    this.slider.setAttribute("aria-label", `Divider: ${left} on its left, ${right} on its right`);
    this.tags.replaceChildren(...(after ? stages : stages.slice(0, 1)).map((stage) => el("span", {}, stage)));
    this.toggleAttribute("single", !after);
  }

  /** One pixel of the picture on one of the screen. */
  get #pixelScale() {
    return 1 / window.devicePixelRatio;
  }

  /**
   * Shows a picture.
   * @param {Source} source
   * @param {{keepView?: boolean, pixels?: boolean}} [options] - Whether zoom and place stay, or begin at single pixels.
   */
  show(source, { keepView = false, pixels = false } = {}) {
    this.#showing.abort();
    this.#looking.abort();
    this.#showing = new AbortController();
    const same = keepView && this.#source !== null && sameSize(this.#source.picture, source.picture);
    this.#source = source;
    this.#name(source);
    if (!same) {
      this.#view = new Viewport(source.picture);
      this.#before.clear();
      this.style.setProperty("--ratio", String(source.picture.width / source.picture.height));
      this.#split(500);
    }
    this.#after.clear();
    this.#resize();
    if (!same && pixels) this.#view.zoom(this.#pixelScale);
    this.note.textContent = "";
    this.#loadWhole();
    this.#changed();
  }

  /** Which stages of the whole picture are wanted, and where they go. */
  #loadWhole() {
    const { picture, before, after, wholeAfter } = this.#source;
    const area = { x: 0, y: 0, w: picture.width, h: picture.height };
    const { signal } = this.#showing;
    if (!this.#before.shown.size) this.#load(this.#before, before(null), area, signal);
    if (after && wholeAfter) this.#load(this.#after, after(null), area, signal);
  }

  async #load(layer, address, area, signal) {
    if (layer.shown.has(address)) return;
    try {
      this.#await(1);
      const picture = await loadPicture(address, signal, (seconds) => this.#sayWaiting(seconds));
      if (!signal.aborted) layer.put(address, picture, area);
      this.#split();
      this.dispatchEvent(new Event("picture"));
    } catch (error) {
      if (!signal.aborted) this.note.textContent = error instanceof Problem ? errorWords(error.code) : String(error);
    } finally {
      this.#await(-1);
    }
  }

  #await(more) {
    this.#awaited += more;
    this.stage.setAttribute("aria-busy", String(this.#awaited > 0));
  }

  #sayWaiting(seconds) {
    this.note.textContent = seconds ? `The service is busy; asking again in ${seconds} s.` : "";
  }

  /** Asks for the crop in sight where the whole picture is not sharp enough. */
  #refine() {
    const source = this.#source;
    if (!source || source.complete) return;
    const { picture, before, after, wholeAfter, longestCrop = Infinity } = source;
    const whole = Math.max(WHOLE_REDUCTION, Math.max(picture.width, picture.height) / WHOLE_LONGEST);
    const sharp = this.#view.scale * window.devicePixelRatio * whole <= SOFTEST;
    const area = this.#view.seen();
    const small = Math.max(area.w, area.h) <= longestCrop;
    this.#say(after && !wholeAfter && !small ? "Zoom in to see what these settings do." : "");
    this.#looking.abort();
    this.#looking = new AbortController();
    const { signal } = this.#looking;
    if (!sharp) this.#load(this.#before, before(area), area, signal);
    if (after && (wholeAfter ? !sharp : small)) this.#load(this.#after, after(area), area, signal);
  }

  #say(text) {
    if (this.note.textContent !== text) this.note.textContent = text;
  }

  // ---- looking around ----

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!this.#source || !width || !height) return;
    this.#width = width;
    this.#view.resize({ width, height });
    this.#split();
    this.#changed();
  }

  /** Draws in the next frame, and refines once things have come to rest. */
  #changed() {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#draw());
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#refine(), SETTLE_MS);
  }

  #draw() {
    const { x, y, scale } = this.#view;
    const transform = `translate(${x}px, ${y}px) scale(${scale})`;
    this.#before.plane.style.transform = transform;
    this.#after.plane.style.transform = transform;
    const pixels = scale * window.devicePixelRatio;
    this.zoomText.value = percent(pixels);
    this.toggleAttribute("pixels", pixels > 1.5);
    this.toggleAttribute("movable", !this.#view.fitted);
  }

  #split(value = undefined) {
    if (value !== undefined) this.slider.value = String(value);
    const share = Number(this.slider.value) / 10;
    const [left, right] = this.#source?.stages ?? STAGES;
    this.slider.setAttribute("aria-valuetext", `${Math.round(share)} % ${left}, ${Math.round(100 - share)} % ${right}`);
    cancelAnimationFrame(this.#splitFrame);
    this.#splitFrame = requestAnimationFrame(() => this.#drawSplit());
  }

  /** Puts the divider where the slider says, on whole pixels of the screen: else the picture would tremble. */
  #drawSplit() {
    const pixels = window.devicePixelRatio;
    const x = Math.round((Number(this.slider.value) / 1000) * this.#width * pixels) / pixels;
    this.#after.cut(x);
    this.#before.cut(this.#covered ? x - this.#width : 0);
    this.handle.style.transform = `translateX(${x}px)`;
    this.thumb.style.transform = `translateX(${x}px)`;
  }

  /** Whether the denoised picture hides all that is right of the divider: what is below it then need not be drawn. */
  get #covered() {
    return Boolean(this.#source?.wholeAfter && this.#after.shown.size);
  }

  #zoomTo(scale, x = undefined, y = undefined) {
    this.#view.zoom(scale, x, y);
    this.#changed();
  }

  #zoomBy(factor, x = undefined, y = undefined) {
    this.#zoomTo(this.#view.scale * factor, x, y);
  }

  #key(event) {
    const moves = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const zooms = {
      "+": () => this.#zoomBy(ZOOM_STEP), "=": () => this.#zoomBy(ZOOM_STEP), "-": () => this.#zoomBy(1 / ZOOM_STEP),
      1: () => this.#zoomTo(this.#pixelScale), 0: () => this.#zoomTo(this.#view.fitting),
    };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (moves[event.key]) {
      const [dx, dy] = moves[event.key];
      this.#view.pan(dx * PAN_STEP, dy * PAN_STEP);
      this.#changed();
    } else if (zooms[event.key]) zooms[event.key]();
    else return;
    event.preventDefault();
  }

  #wheel(event) {
    event.preventDefault();
    const { left, top } = this.stage.getBoundingClientRect();
    this.#zoomBy(Math.exp(-event.deltaY * 0.002), event.clientX - left, event.clientY - top);
  }

  #toggle(event) {
    const { left, top } = this.stage.getBoundingClientRect();
    const scale = this.#view.fitted ? this.#pixelScale : this.#view.fitting;
    this.#zoomTo(scale, event.clientX - left, event.clientY - top);
  }

  // ---- pointers: on the divider they move it, elsewhere the picture; two of them zoom ----

  #press(event) {
    const { left } = this.stage.getBoundingClientRect();
    const divider = (Number(this.slider.value) / 1000) * this.stage.clientWidth;
    const reach = event.pointerType === "touch" ? 28 : 14;
    const onDivider = Math.abs(event.clientX - left - divider) < reach || this.#view.fitted;
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, onDivider });
    this.stage.setPointerCapture(event.pointerId);
    if (onDivider && this.#pointers.size === 1) this.#splitAt(event);
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.#pointers.set(event.pointerId, { ...before, x: event.clientX, y: event.clientY });
    if (other) this.#pinch(before, event, other);
    else if (before.onDivider) this.#splitAt(event);
    else {
      this.#view.pan(event.clientX - before.x, event.clientY - before.y);
      this.#changed();
    }
  }

  #release(event) {
    this.#pointers.delete(event.pointerId);
  }

  #splitAt(event) {
    const { left, width } = this.stage.getBoundingClientRect();
    this.#split(Math.round(((event.clientX - left) / width) * 1000));
  }

  #pinch(before, event, other) {
    const { left, top } = this.stage.getBoundingClientRect();
    const was = Math.hypot(before.x - other.x, before.y - other.y);
    const is = Math.hypot(event.clientX - other.x, event.clientY - other.y);
    const middle = [(event.clientX + other.x) / 2 - left, (event.clientY + other.y) / 2 - top];
    this.#view.pan((event.clientX - before.x) / 2, (event.clientY - before.y) / 2);
    if (was > 0) this.#zoomBy(is / was, ...middle);
  }
}

function sameSize(one, other) {
  return one.width === other.width && one.height === other.height;
}

customElements.define("compare-viewer", CompareViewer);

/**
 * The addresses of what can be previewed: a finished job, an upload or a capture.
 * @param {string} path - Its own address.
 * @param {(path: string, query: object) => string} join
 * @param {object} settings - Model and strength, where they are to be tried.
 */
export function previewAddresses(path, join, settings = {}) {
  const of = (stage, more) => (area) =>
    join(`${path}/preview`, { stage, ...more, crop: area && `${area.x},${area.y},${area.w},${area.h}` });
  return { before: of("before", {}), after: of("after", settings) };
}
