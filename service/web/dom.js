// Builds elements without markup in strings: nothing that comes from a file or the service is ever read as HTML.

/**
 * @typedef {Node | string | number | null | undefined | false} Child
 */

/**
 * Makes an element.
 * @param {string} tag - Its name.
 * @param {Record<string, any>} [properties] - `class`, `data…`, `aria-…`, `on…` handlers; others as attributes.
 *   False, null and undefined leave one out, true sets it empty.
 * @param {...(Child | Child[])} children - What it holds.
 * @returns {HTMLElement}
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) assign(element, name, value);
  element.append(...present(children));
  return element;
}

function assign(element, name, value) {
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (value === true) element.setAttribute(name, "");
  else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
}

function present(children) {
  return children.flat().filter((child) => child !== null && child !== undefined && child !== false);
}

/**
 * Puts other children into an element.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...present(children));
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * Makes an SVG element.
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {...(Node | string)} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

let made = 0;

/**
 * An id that no other element has, for labels and descriptions.
 * @param {string} stem
 * @returns {string}
 */
export function newId(stem) {
  made += 1;
  return `${stem}-${made}`;
}
