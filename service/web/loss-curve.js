// How the loss falls while a model learns: one line, its own axes, no library.

import { el, fill, svg } from "./dom.js";

const WIDEST = 768;
const HEIGHT = 220;
const EDGE = { left: 64, right: 16, top: 12, bottom: 34 };

/** `<loss-curve>`: draws points `[step, loss]`. */
export class LossCurve extends HTMLElement {
  /**
   * @param {[number, number][]} points
   * @param {number | undefined} steps - How many there will be, where that is known.
   */
  draw(points, steps) {
    const shown = points.filter(([, loss]) => Number.isFinite(loss));
    this.hidden = shown.length < 2;
    if (this.hidden) return;
    const width = Math.min(WIDEST, this.clientWidth || WIDEST); // its letters then have the page's size
    const losses = shown.map(([, loss]) => loss);
    const x = scale(0, Math.max(steps ?? 0, shown.at(-1)[0]), EDGE.left, width - EDGE.right);
    const y = scale(Math.min(...losses), Math.max(...losses), HEIGHT - EDGE.bottom, EDGE.top);
    const line = shown.map(([step, loss]) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(" ");
    const last = shown.at(-1);
    const summary = `Loss over ${last[0]} steps: from ${short(losses[0])} to ${short(last[1])}`;
    const picture = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": summary },
      ...[Math.max(...losses), Math.min(...losses)].map((loss) => mark(EDGE.left - 8, y(loss), short(loss), "end")),
      svg("path", { class: "axis", d: `M${EDGE.left} ${EDGE.top}V${HEIGHT - EDGE.bottom}H${width - EDGE.right}` }),
      mark(EDGE.left, HEIGHT - 10, "0", "start"),
      mark(width - EDGE.right, HEIGHT - 10, `${(steps ?? last[0]).toLocaleString("en-GB")} steps`, "end"),
      svg("polyline", { class: "curve", points: line }),
      svg("circle", { class: "point", cx: x(last[0]), cy: y(last[1]), r: 4 }));
    fill(this, el("figure", {}, picture, el("figcaption", { class: "help" }, `${summary}. Less is better; it goes up and down from step to step.`)));
  }
}

function scale(from, to, first, last) {
  const span = to - from || 1;
  return (value) => first + ((value - from) / span) * (last - first);
}

function mark(x, y, words, anchor) {
  return svg("text", { x, y: y + 4, "text-anchor": anchor }, words);
}

function short(value) {
  return Number(value.toPrecision(3)).toString();
}

customElements.define("loss-curve", LossCurve);
