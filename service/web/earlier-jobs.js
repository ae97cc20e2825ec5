// The last jobs of one kind, as a short list below the form that begins one.

import { address, read } from "./api.js";
import { el, fill } from "./dom.js";
import { moment } from "./format.js";
import { badge } from "./state-words.js";

const SHOWN = 8;

/**
 * Fills a section with the last jobs of a kind.
 * @param {HTMLElement} section
 * @param {"finetune" | "validate"} kind
 * @param {(job: any) => string} name
 * @param {string} empty - What is said where there are none.
 */
export async function showEarlier(section, kind, name, empty) {
  const heading = el("h2", {}, "Earlier runs");
  try {
    const { jobs } = await read(address("/jobs", { kind, limit: SHOWN }));
    const items = jobs.map((job) => el("li", {}, badge(job.state), el("a", { href: `#/${kind}/${job.id}` }, name(job)),
      el("time", { class: "help", datetime: job.created_at }, moment(job.created_at))));
    fill(section, heading, items.length ? el("ul", { class: "earlier" }, items) : el("p", { class: "help" }, empty));
  } catch {
    fill(section); // the banner tells of a service that is away
  }
}
