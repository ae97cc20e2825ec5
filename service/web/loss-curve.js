// How the loss falls while a model learns: each step thin, their running mean bold, no library.

import { el, fill, svg } from "./dom.js";

const WIDEST = 768;
const HEIGHT = 220;
/** Points on each side of one that its mean takes in. */
const REACH = 4;
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
    const trend = means(losses);
    const [last] = shown.at(-1);
    const x = scale(0, last, EDGE.left, width - EDGE.right);
    const y = scale(Math.min(...losses), Math.max(...losses), HEIGHT - EDGE.bottom, EDGE.top);
    const line = (values) => values.map((loss, place) => `${x(shown[place][0]).toFixed(1)},${y(loss).toFixed(1)}`).join(" ");
    const counted = last.toLocaleString("en-GB");
    const summary = `Loss over ${counted} steps: from ${short(trend[0])} to ${short(trend.at(-1))}`;
    const picture = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": summary },
      ...[Math.max(...losses), Math.min(...losses)].map((loss) => mark(EDGE.left - 8, y(loss), short(loss), "end")),
      svg("path", { class: "axis", d: `M${EDGE.left} ${EDGE.top}V${HEIGHT - EDGE.bottom}H${width - EDGE.right}` }),
      mark(EDGE.left, HEIGHT - 10, "0", "start"),
      mark(width - EDGE.right, HEIGHT - 10, last < steps ? `${counted} of ${steps.toLocaleString("en-GB")} steps` : `${counted} steps`, "end"),
      svg("polyline", { class: "curve", points: line(losses) }),
      svg("polyline", { class: "trend", points: line(trend) }),
      svg("circle", { class: "point", cx: x(last), cy: y(trend.at(-1)), r: 4 }));
    fill(this, el("figure", {}, picture,
      el("figcaption", { class: "help" }, `${summary}. Less is better; from step to step (thin) it goes up and down, what counts is its mean (bold).`)));
  }
}

/** Each value's mean with its neighbours. */
function means(values) {
  return values.map((_, place) => {
    const near = values.slice(Math.max(0, place - REACH), place + REACH + 1);
    return near.reduce((sum, value) => sum + value, 0) / near.length;
  });
}

function scale(from, to, first, last) {
  const span = to - from || 1;
  return (value) => first + ((value - from) / span) * (last - first);
}

function mark(x, y, words, anchor) {
  return svg("text", { x, y: y + 4, "text-anchor": anchor }, words);
}

function short(value) {
  return value.toPrecision(3);
}

customElements.define("loss-curve", LossCurve);
