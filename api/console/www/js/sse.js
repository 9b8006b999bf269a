// One connection over server-sent events, read by `fetch`. Unlike EventSource it receives events of
// every name, sends the token in a header, and shows comments.

import { ApiError, address, CLIENT_NAME } from "./api.js";
import { createParser } from "./lib.js";
import { LAST_NAMES } from "./log.js";

/**
 * @typedef {{id: string | null, event: string, data: string}} Frame `id` is null for frames that
 *   are not events of the stream.
 * @typedef {object} Listener
 * @property {() => void} [onOpen]
 * @property {(frames: Frame[]) => void} onFrames Called with all frames that came together.
 * @property {(text: string) => void} [onWire] Called with the received bytes as text.
 */

/**
 * Follows until the broker closes the connection.
 * @param {{key: string, token: string, after: string | null, signal: AbortSignal}} what
 * @param {Listener} listener
 * @returns {Promise<string>} The reason of the close. Empty when the stream is finished.
 * @throws {ApiError} The broker refuses, or can't be reached (status 0).
 */
export async function followOverSse({ key, token, after, signal }, { onOpen, onFrames, onWire }) {
  const headers = new Headers({ accept: "text/event-stream", authorization: `Bearer ${token}` });
  if (after !== null) headers.set("last-event-id", after);
  const response = await reach(
    fetch(address("client/sse", { key, client_name: CLIENT_NAME }), {
      headers,
      signal,
      cache: "no-store",
    }),
    signal,
  );
  if (response.status === 204) {
    onWire?.("204 No Content\n");
    return "";
  }
  if (!response.ok || response.body === null) throw await ApiError.of(response);
  onOpen?.();
  let over = false;
  /** @type {Frame[]} */
  let frames = [];
  const parser = createParser({
    onEvent: ({ id, event, data }) =>
      frames.push({ id: id ?? null, event: event ?? "message", data }),
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reach(reader.read(), signal);
    if (done) return over ? "" : "The broker closed the connection";
    onWire?.(value);
    parser.feed(value);
    const last = frames.at(-1);
    // A stream of an earlier version may have an ordinary event of such a name.
    if (last !== undefined) over = LAST_NAMES.includes(last.event);
    if (frames.length > 0) onFrames(frames);
    frames = [];
  }
}

/**
 * Distinguishes a failed connection from one that was cut on purpose.
 * @template T
 * @param {Promise<T>} attempt
 * @param {AbortSignal} signal
 */
async function reach(attempt, signal) {
  try {
    return await attempt;
  } catch (error) {
    signal.throwIfAborted();
    throw new ApiError(
      0,
      "unreachable",
      `The connection broke: ${error instanceof Error ? error.message : error}`,
    );
  }
}
