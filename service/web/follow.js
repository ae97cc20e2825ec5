// Follows a job by server-sent events until it is finished.

import { Problem, at, connection, read } from "./api.js";

/** So often a waiting job is told of again: nothing else changes, but what can be said of the wait does. */
const STILL_WAITING_MS = 5000;

/**
 * @param {string} id - The job's.
 * @param {(job: any) => void} onChange - Told of each state, the last included.
 * @param {(problem: Problem) => void} onLost - Told when it cannot be followed any more.
 * @returns {() => void} Ends it.
 */
export function follow(id, onChange, onLost) {
  const events = new EventSource(at(`/jobs/${id}/events`));
  let waiting = 0;
  const end = () => {
    clearInterval(waiting);
    events.close();
  };
  events.addEventListener("job", (event) => {
    connection.dispatchEvent(new Event("reached"));
    const job = JSON.parse(event.data);
    clearInterval(waiting);
    if (job.finished_at) events.close();
    else if (job.state === "queued") waiting = setInterval(() => onChange(job), STILL_WAITING_MS);
    onChange(job);
  });
  events.addEventListener("error", async () => {
    if (events.readyState !== EventSource.CLOSED) {
      connection.dispatchEvent(new Event("unreachable"));
      return; // the browser asks again by itself
    }
    try {
      onChange(await read(`/jobs/${id}`)); // an EventSource does not tell why it was refused
    } catch (problem) {
      onLost(problem instanceof Problem ? problem : new Problem("stream_lost", String(problem)));
    }
  });
  return end;
}
