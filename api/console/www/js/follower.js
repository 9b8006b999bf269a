// Follows one stream while the page is open. It connects again by itself at its position, and
// notices when another stream has replaced this one at the key.

import { ApiError, issueToken, streamInfo } from "./api.js";
import { followOverWs } from "./ws.js";

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;
/**
 * How many times in a row a connection may be found behind the stream. A browser does not report a
 * dead connection. It does not report the progress of a message either, and the first message with
 * all earlier events takes long over a slow network. So each connection without an event gets twice
 * the time of the one before.
 */
const BEHIND = 3;

/**
 * @typedef {"connecting" | "live" | "waiting" | "finished" | "gone"} FollowState
 * @typedef {object} Listener
 * @property {(frames: import("./sse.js").Frame[]) => void} onFrames
 * @property {(state: FollowState, why?: string) => void} onState
 * @property {() => void} onReplaced The events so far belong to an earlier stream.
 */

export class Follower {
  #key;
  #listener;
  #leaving = new AbortController();
  #connection = new AbortController();
  /** The creation time of the stream. It identifies the stream at its key. @type {string | null} */
  #createdAt = null;
  /** @type {string | null} */
  #after = null;
  #pause = FIRST_PAUSE_MS;
  #behind = 0;
  #maxBehind = BEHIND;

  /**
   * @param {string} key
   * @param {Listener} listener
   */
  constructor(key, listener) {
    this.#key = key;
    this.#listener = listener;
  }

  /** Resolves when all events have come, or when there is no stream. */
  async follow() {
    while (!this.#leaving.signal.aborted) {
      try {
        if (await this.#connect()) return;
      } catch (error) {
        if (this.#leaving.signal.aborted) return;
        if (!(error instanceof ApiError) && !this.#connection.signal.aborted) throw error;
        if (error instanceof ApiError && this.#isFinal(error)) return;
      }
      await this.#wait();
    }
  }

  close() {
    this.#leaving.abort();
    this.#connection.abort();
  }

  /**
   * Compares the position with the stream's last id. Replaces the connection when it stays behind.
   * @param {string} lastId
   */
  compare(lastId) {
    this.#behind = this.#after === lastId ? 0 : this.#behind + 1;
    if (this.#behind < this.#maxBehind || this.#connection.signal.aborted) return;
    this.#maxBehind *= 2;
    this.#connection.abort();
  }

  /** @returns {Promise<boolean>} Whether all events have come. */
  async #connect() {
    this.#listener.onState("connecting");
    const info = await streamInfo(this.#key);
    if (this.#createdAt !== null && this.#createdAt !== info.created_at) {
      this.#after = null;
      this.#listener.onReplaced();
    }
    this.#createdAt = info.created_at;
    if (info.status !== "active" && this.#after === info.last_id) {
      this.#listener.onState("finished");
      return true;
    }
    const { token } = await issueToken({ key: this.#key });
    this.#leaving.signal.throwIfAborted();
    this.#connection = new AbortController();
    this.#behind = 0;
    await followOverWs(
      { key: this.#key, token, after: this.#after, signal: this.#connection.signal },
      {
        onOpen: () => this.#listener.onState("live"),
        onFrames: (frames) => {
          this.#pause = FIRST_PAUSE_MS;
          this.#behind = 0;
          this.#maxBehind = BEHIND;
          this.#after = frames.findLast(({ id }) => id !== null)?.id ?? this.#after;
          this.#listener.onFrames(frames);
        },
      },
    );
    return false;
  }

  /** @param {ApiError} error */
  #isFinal(error) {
    const gone = error.code === "stream-not-found" || error.code === "no-active-stream";
    this.#listener.onState(gone ? "gone" : "waiting", error.message);
    // Without an API key the console shows the sign-in page.
    return gone || error.code === "unauthorized";
  }

  async #wait() {
    const ms = this.#pause;
    this.#pause = Math.min(ms * 2, LONGEST_PAUSE_MS);
    await new Promise((resolve) => {
      const done = () => resolve(undefined);
      setTimeout(done, ms);
      this.#leaving.signal.addEventListener("abort", done, { once: true });
    });
  }
}
