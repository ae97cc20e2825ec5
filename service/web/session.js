// The API key: asked for once, then kept by the browser as a cookie that no program of the page can read.

import { Problem, connection, read, request } from "./api.js";
import { el, fill } from "./dom.js";
import { icon } from "./icons.js";
import { errorBox } from "./state-words.js";

/** `<session-key>`: a button to sign out with, and the question for the key where one is needed. */
export class SessionKey extends HTMLElement {
  #input = el("input", { type: "password", id: "api-key", autocomplete: "current-password", required: true, spellcheck: "false" });
  #said = el("div");
  #send = el("button", { class: "primary" }, "Open");
  #dialog = el("dialog", { class: "key-dialog", "aria-labelledby": "key-title", oncancel: (event) => event.preventDefault() },
    el("form", { method: "dialog", onsubmit: (event) => this.#open(event) },
      el("h2", { id: "key-title" }, "API key"),
      el("p", { class: "help" }, "This service is for those who have a key. Whoever runs it makes one with ", el("code", {}, "photosite keys create"), "."),
      el("input", { type: "text", autocomplete: "username", value: "photosite", hidden: true }), // for password managers
      el("label", { for: "api-key" }, "Your key"),
      this.#input,
      this.#said,
      this.#send));
  #leave = el("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.#close() }, icon("key"), "Sign out");

  connectedCallback() {
    if (this.firstChild) return;
    this.append(this.#leave, this.#dialog);
    connection.addEventListener("locked", () => this.#ask());
  }

  /** Finds out whether a key is needed; resolves once the service can be used. */
  async unlock() {
    const session = await read("/session");
    this.#leave.hidden = !session.authenticated;
    if (!session.keys_required || session.authenticated) return;
    this.#ask();
    await new Promise((resolve) => this.addEventListener("unlocked", resolve, { once: true }));
  }

  #ask() {
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  async #open(event) {
    event.preventDefault();
    this.#send.disabled = true;
    try {
      await request("POST", "/session", { json: { key: this.#input.value.trim() } });
      this.#input.value = "";
      fill(this.#said);
      this.#leave.hidden = false;
      this.#dialog.close();
      this.dispatchEvent(new Event("unlocked"));
    } catch (problem) {
      const wrong = problem.status === 401;
      fill(this.#said, errorBox(wrong ? new Problem("wrong_key", "Check that you copied all of it; it may also have been revoked.") : problem));
      this.#input.select();
    } finally {
      this.#send.disabled = false;
    }
  }

  async #close() {
    await request("DELETE", "/session");
    location.reload();
  }
}

customElements.define("session-key", SessionKey);
