// The icons, drawn on a grid of 24; they stand beside words, or in buttons that say in words what they do.

import { svg } from "./dom.js";

const PATHS = {
  denoise: "M12 3v18M5 7h.01M8 11h.01M5 15h.01M8 18h.01M9 5h.01M15 4h4v16h-4",
  jobs: "M4 6h16M4 12h16M4 18h10",
  finetune: "M5 4v6M5 14v6M12 4v2M12 10v10M19 4v9M19 17v3M3 12h4M10 8h4M17 15h4",
  validate: "M4 20h16M7 16v-5M12 16V6M17 16v-8",
  models: "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
  upload: "M12 16V4M7 9l5-5 5 5M4 16v4h16v-4",
  download: "M12 4v12M7 11l5 5 5-5M4 20h16",
  close: "M6 6l12 12M18 6L6 18",
  done: "M5 12.5l4.5 4.5L19 7",
  warning: "M12 4l9 16H3zM12 10v4M12 17h.01",
  sun: "M12 8a4 4 0 100 8 4 4 0 000-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.5 1.5M17.5 17.5L19 19M5 19l1.5-1.5M17.5 6.5L19 5",
  moon: "M20 14A8 8 0 0110 4a8 8 0 1010 10z",
  key: "M15 3a6 6 0 00-5.6 8.2L3 17.500V21h3.500v-2.500H9V16h1.800l2-2A6 6 0 1015 3zM16 8h.01",
  minus: "M5 12h14",
  plus: "M5 12h14M12 5v14",
  fit: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13",
};

/**
 * One of the icons.
 * @param {keyof typeof PATHS} name
 * @returns {SVGElement}
 */
export function icon(name) {
  const path = svg("path", { d: PATHS[name] });
  return svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", focusable: "false" }, path);
}
