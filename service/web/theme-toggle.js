// Light or dark: as the system has it, until somebody chooses.

import { el } from "./dom.js";
import { icon } from "./icons.js";

const KEPT = "photosite-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function dark() {
  const { theme } = document.documentElement.dataset;
  return theme === "auto" ? system.matches : theme === "dark";
}

/** `<theme-toggle>` */
export class ThemeToggle extends HTMLElement {
  #button = el("button", { type: "button", class: "quiet square", onclick: () => this.#toggle() });
  #show = () => this.#say();

  connectedCallback() {
    if (!this.firstChild) this.append(this.#button);
    system.addEventListener("change", this.#show);
    this.#say();
  }

  disconnectedCallback() {
    system.removeEventListener("change", this.#show);
  }

  #toggle() {
    const theme = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    localStorage.setItem(KEPT, theme);
    this.#say();
  }

  #say() {
    const words = dark() ? "Light theme" : "Dark theme";
    this.#button.title = words;
    this.#button.setAttribute("aria-label", words);
    this.#button.replaceChildren(icon(dark() ? "sun" : "moon"));
  }
}

customElements.define("theme-toggle", ThemeToggle);
