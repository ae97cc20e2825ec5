// Fetches rendered pictures, which a worker may still have to make.

import { at, pause, persist, request } from "./api.js";

const RENDERING = 202;

/**
 * Fetches a picture, and waits for it as long as it is being rendered.
 * @param {string} path
 * @param {AbortSignal} signal
 * @param {(seconds: number) => void} [onWait] - See `persist`.
 * @returns {Promise<HTMLImageElement>} Decoded, ready to be shown.
 */
export async function loadPicture(path, signal, onWait) {
  await (await whenRendered(path, signal, onWait)).blob();
  const picture = new Image();
  picture.src = at(path); // comes out of the browser's cache; the policy allows no blob: addresses
  picture.alt = "";
  picture.draggable = false;
  await picture.decode();
  return picture;
}

/**
 * Reads facts that a worker may still have to find out.
 * @param {string} path
 * @param {AbortSignal} signal
 * @param {(seconds: number) => void} [onWait]
 * @returns {Promise<any>}
 */
export async function loadFacts(path, signal, onWait) {
  return (await whenRendered(path, signal, onWait)).json();
}

async function whenRendered(path, signal, onWait) {
  for (;;) {
    const answer = await persist(() => request("GET", path, { signal }), onWait, signal);
    if (answer.status !== RENDERING) return answer;
    await pause(Number(answer.headers.get("Retry-After") ?? 1), signal);
  }
}
