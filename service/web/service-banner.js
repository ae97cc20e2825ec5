// Says at the top of every view when the service cannot be reached, or is not ready, and asks again by itself.

import { Problem, connection, pause, request } from "./api.js";
import { el, fill } from "./dom.js";
import { icon } from "./icons.js";
import { errorWords } from "./words.js";

const ASK_AGAIN_S = 5;

/** `<service-banner>`: fires "back" on the connection once the service is there again. */
export class ServiceBanner extends HTMLElement {
  #asking = false;
  #words = el("span");
  #count = el("span", { class: "count", "aria-hidden": "true" });

  connectedCallback() {
    this.setAttribute("role", "status");
    connection.addEventListener("unreachable", () => this.#watch());
  }

  /** Looks once whether the service is ready. */
  async check() {
    try {
      await request("GET", "/health/ready");
    } catch {
      this.#watch();
    }
  }

  async #watch() {
    if (this.#asking) return;
    this.#asking = true;
    for (let problem = await askWhetherReady(); problem; problem = await askWhetherReady()) await this.#wait(problem);
    fill(this);
    this.#asking = false;
    connection.dispatchEvent(new Event("back"));
  }

  async #wait(problem) {
    this.#words.textContent = problem.code === "not_ready"
      ? `The service is there, but cannot work: ${problem.detail}.`
      : errorWords(problem.code);
    if (!this.firstChild) fill(this, icon("warning"), this.#words, this.#count);
    for (let rest = problem.retryAfter ?? ASK_AGAIN_S; rest > 0; rest -= 1) {
      this.#count.textContent = `Looking again in ${rest} s`;
      await pause(1);
    }
    this.#count.textContent = "Looking …";
  }
}

/** @returns {Promise<Problem | null>} */
async function askWhetherReady() {
  try {
    await request("GET", "/health/ready");
    return null;
  } catch (problem) {
    return problem;
  }
}

customElements.define("service-banner", ServiceBanner);
