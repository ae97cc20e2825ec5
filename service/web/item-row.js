// One file in the list beside the picture.

import { el } from "./dom.js";
import { bytes } from "./format.js";
import { icon } from "./icons.js";
import { itemLine, itemShare, setProgress } from "./state-words.js";

/** `<item-row>`: fires "pick" and "drop-item"; `update` shows what has changed. */
export class ItemRow extends HTMLElement {
  /** @type {import("./desk.js").Item} */
  item;
  #line = el("span", { class: "item-line" });
  #bar = el("progress", { max: 1 });
  #pick = el("button", { type: "button", class: "item-pick", onclick: () => this.#fire("pick") });
  #end = el("button", { type: "button", class: "quiet square", onclick: () => this.#fire("drop-item") });

  connectedCallback() {
    if (this.firstChild) return;
    this.#pick.append(
      el("span", { class: "item-name", title: this.item.name }, this.item.name),
      el("span", { class: "item-size" }, bytes(this.item.bytes)),
      this.#line);
    this.#bar.setAttribute("aria-label", `Progress of ${this.item.name}`);
    this.append(this.#pick, this.#end, this.#bar);
    this.update();
  }

  /** Shows what has changed. */
  update() {
    const { item } = this;
    this.#line.textContent = itemLine(item);
    this.#bar.hidden = !item.busy;
    setProgress(this.#bar, itemShare(item));
    const word = item.busy ? "Cancel" : "Remove from this list";
    if (this.#end.title !== word) {
      this.#end.title = word;
      this.#end.setAttribute("aria-label", `${word}: ${item.name}`);
      this.#end.replaceChildren(icon(item.busy ? "close" : "minus"));
    }
    this.dataset.state = item.phase === "job" ? item.job.state : item.phase;
  }

  /** @param {boolean} picked */
  set picked(picked) {
    if (picked) this.#pick.setAttribute("aria-current", "true");
    else this.#pick.removeAttribute("aria-current");
  }

  #fire(name) {
    this.dispatchEvent(new CustomEvent(name, { detail: this.item }));
  }
}

customElements.define("item-row", ItemRow);
