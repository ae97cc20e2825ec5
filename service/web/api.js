// The one way to the service: a wrapper round fetch that understands problem+json, Retry-After and sessions.

/** Where the service's addresses begin: "" at a host's root, "/photosite" below a proxy's path. */
const ROOT = new URL("..", import.meta.url).pathname.slice(0, -1);

/**
 * The address of a path as the service's own links have it: for all that `request` does not ask for.
 * @param {string} path
 */
export function at(path) {
  return ROOT + path;
}

/** An error that the service, or the way to it, has told. */
export class Problem extends Error {
  /**
   * @param {string} code - The service's stable code; "unreachable" where there was no answer.
   * @param {string} detail - The service's own sentence.
   * @param {number} [status] - HTTP status, 0 where there was no answer.
   * @param {number | null} [retryAfter] - Seconds after which asking again makes sense.
   */
  constructor(code, detail, status = 0, retryAfter = null) {
    super(detail);
    this.code = code;
    this.detail = detail;
    this.status = status;
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may well succeed later. */
  get passes() {
    return [0, 408, 423, 429, 503].includes(this.status);
  }
}

/** Fires "locked" when the service wants a key, "reached" and "unreachable" as it answers and does not. */
export const connection = new EventTarget();

/** @returns {Problem} */
export function unreachable() {
  connection.dispatchEvent(new Event("unreachable"));
  return new Problem("unreachable", "There was no answer.");
}

/**
 * The error in an answer; says so to whoever shows the state of the connection.
 * @param {number} status
 * @param {string} body
 * @param {string | null} retryAfter
 */
export function problemOf(status, body, retryAfter) {
  let told = {};
  try {
    told = JSON.parse(body);
  } catch {
    // a proxy's error page: its status says all that is to be known
  }
  if (status === 401) connection.dispatchEvent(new Event("locked"));
  const seconds = retryAfter && /^\d+$/.test(retryAfter) ? Number(retryAfter) : null;
  return new Problem(told.code ?? "internal_error", told.detail ?? `The service answered ${status}.`, status, seconds);
}

/**
 * Sends a request; the answer of one that fails becomes a Problem.
 * @param {string} method
 * @param {string} path - Below the service's own root, as in its links.
 * @param {{json?: unknown, headers?: Record<string, string>, signal?: AbortSignal}} [options]
 * @returns {Promise<Response>}
 */
export async function request(method, path, { json, headers = {}, signal } = {}) {
  const all = { ...headers };
  if (json !== undefined) all["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(at(path), { method, headers: all, signal, body: json === undefined ? undefined : JSON.stringify(json) });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw unreachable();
  }
  connection.dispatchEvent(new Event("reached"));
  if (!answer.ok) throw problemOf(answer.status, await answer.text(), answer.headers.get("Retry-After"));
  return answer;
}

/**
 * Reads JSON.
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function read(path, signal) {
  return (await request("GET", path, { signal })).json();
}

/**
 * Begins something, once, however often the request has to be sent: the service knows it by its key.
 * @param {string} path
 * @param {{json?: unknown, headers?: Record<string, string>}} options
 * @param {(seconds: number) => void} [onWait] - Told each second how long it still waits to ask again.
 * @returns {Promise<any>}
 */
export async function begin(path, options, onWait) {
  const headers = { ...options.headers, "Idempotency-Key": newKey() };
  const answer = await persist(() => request("POST", path, { ...options, headers }), onWait);
  return answer.json();
}

/** @returns {string} Letters that nobody else has; crypto.randomUUID is missing where there is no https. */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const ATTEMPTS = 5;
const FIRST_WAIT_S = 2;

/**
 * Tries again what was refused only for the moment.
 * @template T
 * @param {() => Promise<T>} attempt
 * @param {(seconds: number) => void} [onWait]
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
export async function persist(attempt, onWait = () => {}, signal = undefined) {
  for (let tried = 1; ; tried += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Problem) || !error.passes || tried === ATTEMPTS) throw error;
      await countDown(error.retryAfter ?? FIRST_WAIT_S ** tried, onWait, signal);
    }
  }
}

/**
 * Waits, and says each second how long.
 * @param {number} seconds
 * @param {(seconds: number) => void} onTick
 * @param {AbortSignal} [signal]
 */
async function countDown(seconds, onTick, signal) {
  for (let rest = seconds; rest > 0; rest -= 1) {
    onTick(rest);
    await pause(1, signal);
  }
  onTick(0);
}

/**
 * @param {number} seconds
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/**
 * Joins a path and its query; leaves out what is null.
 * @param {string} path
 * @param {Record<string, string | number | null | undefined | string[]>} query
 */
export function address(path, query) {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && each !== "") parts.append(name, String(each));
    }
  }
  return parts.size ? `${path}?${parts}` : path;
}
