// The files that somebody has given the page: uploaded a few at a time, denoised, followed until they are done.

import { Problem, address, at, begin, persist, read, request } from "./api.js";
import { follow } from "./follow.js";
import { uploadRaw } from "./upload.js";

const AT_ONCE = 2;
const KEPT = `photosite-desk${at("/")}`; // another service may share the host

/**
 * @typedef {"waiting" | "uploading" | "uploaded" | "starting" | "job" | "failed"} Phase
 */

/** One file: before its job there is an upload, before that a file on the reader's own disk. */
export class Item {
  /** @param {{file?: File, job?: any}} what */
  constructor({ file, job }) {
    this.file = file ?? null;
    this.name = file?.name ?? job.input?.name ?? job.id;
    this.bytes = file?.size ?? job.input?.bytes ?? 0;
    /** @type {Phase} */
    this.phase = job ? "job" : "waiting";
    /** Share of the file that is sent. */
    this.sent = 0;
    /** @type {string | null} */
    this.upload = null;
    this.job = job ?? null;
    /** @type {Problem | null} */
    this.problem = null;
    /** Seconds until the service is asked again, where it was busy. */
    this.wait = 0;
    this.abort = new AbortController();
    this.stop = () => {};
  }

  /** Whether its job has a result. */
  get done() {
    return this.job?.state === "succeeded";
  }

  /** Whether there is something to cancel. */
  get busy() {
    return this.phase === "job" ? !this.job.finished_at : this.phase !== "failed" && this.phase !== "uploaded";
  }

  /** What it can be previewed by: its upload, later its job; nothing of one that was cancelled or failed is kept. */
  get previewPath() {
    if (this.phase === "uploaded") return `/uploads/${this.upload}`;
    return this.job && (this.done || !this.job.finished_at) ? `/jobs/${this.job.id}` : null;
  }
}

/** All items, the newest last. Fires "change" with the item, "list" when there are others. */
export class Desk extends EventTarget {
  /** @type {Item[]} */
  items = [];
  /** How the next files are denoised. */
  settings = { model: "", strength: 1 };
  /** Whether files are denoised as soon as they are uploaded. */
  atOnce = true;

  /**
   * Takes files in.
   * @param {Iterable<File>} files
   */
  add(files) {
    const added = [...files].map((file) => new Item({ file }));
    this.items.push(...added);
    this.#list();
    this.#pump();
    return added;
  }

  /**
   * Shows a job that exists already.
   * @param {string} id
   * @returns {Promise<Item>}
   */
  async adopt(id) {
    const known = this.items.find((item) => item.job?.id === id);
    if (known) return known;
    const job = await read(`/jobs/${id}`);
    if (job.kind !== "denoise") throw new Problem("not_found", "This job is of another kind.", 404);
    const item = new Item({ job });
    this.items.push(item);
    this.#follow(item);
    this.#list();
    return item;
  }

  /** Brings back what was there before the page was loaded again. */
  async restore() {
    const ids = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
    await Promise.allSettled(ids.map((id) => this.adopt(id)));
  }

  /** Starts all that is uploaded. */
  startAll() {
    for (const item of this.items) if (item.phase === "uploaded") this.start(item);
  }

  /**
   * Starts the job of an uploaded file.
   * @param {Item} item
   */
  async start(item) {
    const { model, strength } = this.settings;
    const path = address("/denoise", { upload: item.upload, model, strength });
    this.#change(item, { phase: "starting" });
    try {
      const job = await begin(path, { headers: { Prefer: "respond-async" } }, (wait) => this.#change(item, { wait }));
      item.upload = null;
      this.#change(item, { phase: "job", job });
      this.#follow(item);
      this.#keep();
    } catch (problem) {
      this.#fail(item, problem);
    }
  }

  /**
   * Denoises a file once more, as a new item: with other settings, or because something went wrong.
   * @param {Item} item - One whose file is still at hand.
   */
  again(item) {
    return this.add([item.file])[0];
  }

  /**
   * Cancels an item, or takes it off the desk; a result stays among the jobs.
   * @param {Item} item
   */
  async remove(item) {
    item.abort.abort();
    item.stop();
    this.items = this.items.filter((other) => other !== item);
    this.#list();
    this.#pump();
    if (item.upload) await request("DELETE", `/uploads/${item.upload}`, { headers: { "Tus-Resumable": "1.0.0" } });
  }

  /**
   * Cancels the work on an item; it stays on the desk and says so.
   * @param {Item} item
   */
  async cancel(item) {
    if (item.phase !== "job") {
      await this.remove(item);
      return;
    }
    try {
      const job = await (await request("DELETE", `/jobs/${item.job.id}`)).json();
      this.#change(item, { job });
    } catch (problem) {
      if (problem.status !== 409) this.#change(item, { problem }); // 409: it had ended by itself
    }
  }

  /** Uploads what waits, a few files at a time. */
  #pump() {
    const busy = this.items.filter((item) => item.phase === "uploading").length;
    const waiting = this.items.filter((item) => item.phase === "waiting");
    for (const item of waiting.slice(0, AT_ONCE - busy)) this.#send(item);
  }

  async #send(item) {
    const { signal } = item.abort;
    this.#change(item, { phase: "uploading" });
    try {
      const once = () => uploadRaw(item.file, (sent) => this.#change(item, { sent, wait: 0 }), signal);
      const upload = await persist(once, (wait) => this.#change(item, { wait }), signal);
      item.upload = upload;
      if (this.atOnce) await this.start(item);
      else this.#change(item, { phase: "uploaded" });
    } catch (problem) {
      if (!signal.aborted) this.#fail(item, problem);
    } finally {
      this.#pump();
    }
  }

  #follow(item) {
    if (item.job.finished_at) return;
    item.stop = follow(
      item.job.id,
      (job) => this.#change(item, { job, problem: null }),
      (problem) => this.#change(item, { problem }),
    );
  }

  #fail(item, error) {
    const problem = error instanceof Problem ? error : new Problem("internal_error", String(error));
    this.#change(item, { phase: item.job ? "job" : "failed", problem, wait: 0 });
  }

  #change(item, fields) {
    Object.assign(item, fields);
    this.dispatchEvent(new CustomEvent("change", { detail: item }));
  }

  #list() {
    this.#keep();
    this.dispatchEvent(new Event("list"));
  }

  #keep() {
    sessionStorage.setItem(KEPT, JSON.stringify(this.items.filter((item) => item.job).map((item) => item.job.id)));
  }
}
