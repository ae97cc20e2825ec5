// The arithmetic of a picture in a window: scale and place, without a word of the DOM.

/**
 * @typedef {{width: number, height: number}} Size
 * @typedef {{x: number, y: number, w: number, h: number}} Area - Whole pixels of the full-size picture.
 */

const MOST = 8;
/** Crops begin and end on a grid, so that a small move does not ask for another one. */
const GRID = 128;

export class Viewport {
  /** @param {Size} picture - Of the full-size picture, in its own pixels. */
  constructor(picture) {
    this.picture = picture;
    /** @type {Size} */
    this.window = { width: 1, height: 1 };
    /** CSS pixels for a pixel of the picture. */
    this.scale = 1;
    /** Where the picture's top left corner is, in CSS pixels of the window. */
    this.x = 0;
    this.y = 0;
  }

  /** The scale at which the whole picture is seen. */
  get fitting() {
    return Math.min(this.window.width / this.picture.width, this.window.height / this.picture.height);
  }

  /** Whether the whole picture is seen. */
  get fitted() {
    return this.scale <= this.fitting * 1.001;
  }

  /** Shows the whole picture, in the middle. */
  fit() {
    this.scale = this.fitting;
    this.#settle();
  }

  /**
   * Another size of the window; what was in its middle stays there.
   * @param {Size} window
   */
  resize(window) {
    const fitted = this.fitted || this.window.width === 1;
    const middle = this.at(this.window.width / 2, this.window.height / 2);
    this.window = window;
    if (fitted) this.fit();
    else this.centre(middle);
  }

  /**
   * The picture's pixel under a point of the window.
   * @param {number} x
   * @param {number} y
   */
  at(x, y) {
    return { x: (x - this.x) / this.scale, y: (y - this.y) / this.scale };
  }

  /**
   * Brings a pixel of the picture into the middle.
   * @param {{x: number, y: number}} pixel
   */
  centre(pixel) {
    this.x = this.window.width / 2 - pixel.x * this.scale;
    this.y = this.window.height / 2 - pixel.y * this.scale;
    this.#settle();
  }

  /**
   * Zooms; the pixel under the point stays there.
   * @param {number} scale
   * @param {number} [x]
   * @param {number} [y]
   */
  zoom(scale, x = this.window.width / 2, y = this.window.height / 2) {
    const pixel = this.at(x, y);
    this.scale = Math.min(Math.max(scale, this.fitting), Math.max(MOST, this.fitting));
    this.x = x - pixel.x * this.scale;
    this.y = y - pixel.y * this.scale;
    this.#settle();
  }

  /**
   * Moves the picture.
   * @param {number} dx
   * @param {number} dy
   */
  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.#settle();
  }

  /** Keeps the picture in the window, or in its middle where it is smaller. */
  #settle() {
    this.x = settled(this.x, this.window.width, this.picture.width * this.scale);
    this.y = settled(this.y, this.window.height, this.picture.height * this.scale);
  }

  /**
   * What is seen of the picture, a little more, on the grid of crops.
   * @returns {Area}
   */
  seen() {
    const { width, height } = this.picture;
    const first = this.at(0, 0);
    const last = this.at(this.window.width, this.window.height);
    const x = Math.max(0, Math.floor(first.x / GRID) * GRID);
    const y = Math.max(0, Math.floor(first.y / GRID) * GRID);
    const right = Math.min(width, Math.ceil(last.x / GRID) * GRID);
    const bottom = Math.min(height, Math.ceil(last.y / GRID) * GRID);
    return { x, y, w: Math.max(1, right - x), h: Math.max(1, bottom - y) };
  }
}

function settled(place, window, size) {
  if (size <= window) return (window - size) / 2;
  return Math.min(0, Math.max(window - size, place));
}
