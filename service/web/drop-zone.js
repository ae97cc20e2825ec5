// Where files are dropped or chosen. A file dropped anywhere else on the page lands here, too.

import { el } from "./dom.js";
import { icon } from "./icons.js";

/** `<drop-zone>`: fires "files" with the files. */
export class DropZone extends HTMLElement {
  /** What it says; set before it is put into the page. */
  heading = "Drop raw files here";
  hint = "";
  #leave = () => {};

  connectedCallback() {
    if (!this.firstChild) this.#build();
    const over = (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      this.toggleAttribute("over", event.type === "dragover");
    };
    const drop = (event) => {
      event.preventDefault();
      this.toggleAttribute("over", false);
      this.#give(event.dataTransfer.files);
    };
    const listeners = [["dragover", over], ["dragleave", over], ["drop", drop]];
    for (const [name, listener] of listeners) window.addEventListener(name, listener);
    this.#leave = () => listeners.forEach(([name, listener]) => window.removeEventListener(name, listener));
  }

  disconnectedCallback() {
    this.#leave();
  }

  #build() {
    const input = el("input", {
      type: "file", multiple: true, class: "visually-hidden",
      onchange: () => {
        this.#give(input.files);
        input.value = ""; // so that the same file can be chosen again
      },
    });
    this.append(
      el("label", { class: "drop" }, icon("upload"), input,
        el("span", { class: "drop-heading" }, this.heading),
        el("span", { class: "drop-choose" }, "or choose files"),
        this.hint && el("span", { class: "drop-hint" }, this.hint)),
    );
  }

  #give(files) {
    if (files.length) this.dispatchEvent(new CustomEvent("files", { detail: [...files] }));
  }
}

customElements.define("drop-zone", DropZone);
