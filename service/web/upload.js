// Sends files: XMLHttpRequest, because fetch() does not tell how far an upload is.

import { at, connection, problemOf, unreachable } from "./api.js";

/**
 * @typedef {object} Sent
 * @property {number} status
 * @property {string} body
 * @property {string | null} location
 */

/**
 * Sends a file as the body of a request.
 * @param {string} path
 * @param {Blob} body
 * @param {Record<string, string>} headers
 * @param {(share: number) => void} onProgress
 * @param {AbortSignal} signal
 * @returns {Promise<Sent>}
 */
function send(path, body, headers, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", at(path));
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onProgress(event.total ? event.loaded / event.total : 1);
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(signal.reason);
    request.onload = () => {
      connection.dispatchEvent(new Event("reached"));
      const { status, responseText } = request;
      if (status < 300) resolve({ status, body: responseText, location: request.getResponseHeader("Location") });
      else reject(problemOf(status, responseText, request.getResponseHeader("Retry-After")));
    };
    signal.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

/**
 * Uploads a raw that something will be done with later (the tus protocol, creation with upload).
 * @param {File} file
 * @param {(share: number) => void} onProgress
 * @param {AbortSignal} signal
 * @returns {Promise<string>} The upload's id.
 */
export async function uploadRaw(file, onProgress, signal) {
  const headers = {
    "Tus-Resumable": "1.0.0",
    "Upload-Length": String(file.size),
    "Upload-Metadata": `filename ${base64(file.name)}`,
    "Content-Type": "application/offset+octet-stream",
  };
  const { location } = await send("/uploads", file, headers, onProgress, signal);
  return location.slice(location.lastIndexOf("/") + 1);
}

/**
 * Uploads a capture, to be kept until it is deleted.
 * @param {File} file
 * @param {(share: number) => void} onProgress
 * @param {AbortSignal} signal
 * @returns {Promise<any>} The capture.
 */
export async function uploadCapture(file, onProgress, signal) {
  const form = new FormData();
  form.append("file", file);
  return JSON.parse((await send("/captures", form, {}, onProgress, signal)).body);
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
