// Follows one stream for as long as the page is open: comes back by itself, from where it was, and
// notices when another stream has taken the key.

import { ApiError, issueToken, streamInfo } from "./api.js";
import { followOverWs } from "./ws.js";

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;
/**
 * Times in a row that a connection may be found behind the stream: a browser does not tell that one
 * is dead. Nor does it tell how much of a message has come, and the first, with all that has been,
 * takes long over a slow line: each connection that brings nothing is given twice the time of the
 * one before.
 */
const BEHIND = 3;

/**
 * @typedef {"connecting" | "live" | "waiting" | "finished" | "gone"} FollowState
 * @typedef {object} Heard
 * @property {(frames: import("./sse.js").Frame[]) => void} onFrames
 * @property {(state: FollowState, why?: string) => void} onState
 * @property {() => void} onReplaced What was heard so far is of an earlier stream.
 */

export class Follower {
  #key;
  #heard;
  #leaving = new AbortController();
  #line = new AbortController();
  /** Of the stream that is followed: no other at its key was made then. @type {string | null} */
  #made = null;
  /** @type {string | null} */
  #after = null;
  #pause = FIRST_PAUSE_MS;
  #behind = 0;
  #mayBeBehind = BEHIND;

  /**
   * @param {string} key
   * @param {Heard} heard
   */
  constructor(key, heard) {
    this.#key = key;
    this.#heard = heard;
  }

  /** Settles when all has been heard, or there is nothing to be heard. */
  async follow() {
    while (!this.#leaving.signal.aborted) {
      try {
        if (await this.#connect()) return;
      } catch (error) {
        if (this.#leaving.signal.aborted) return;
        if (!(error instanceof ApiError) && !this.#line.signal.aborted) throw error;
        if (error instanceof ApiError && this.#isFinal(error)) return;
      }
      await this.#wait();
    }
  }

  close() {
    this.#leaving.abort();
    this.#line.abort();
  }

  /**
   * Compares with what the broker says of the stream; makes the connection anew when it stays
   * behind.
   * @param {string} lastId
   */
  compare(lastId) {
    this.#behind = this.#after === lastId ? 0 : this.#behind + 1;
    if (this.#behind < this.#mayBeBehind || this.#line.signal.aborted) return;
    this.#mayBeBehind *= 2;
    this.#line.abort();
  }

  /** @returns {Promise<boolean>} Whether all has been heard. */
  async #connect() {
    this.#heard.onState("connecting");
    const info = await streamInfo(this.#key);
    if (this.#made !== null && this.#made !== info.created_at) {
      this.#after = null;
      this.#heard.onReplaced();
    }
    this.#made = info.created_at;
    if (info.status !== "active" && this.#after === info.last_id) {
      this.#heard.onState("finished");
      return true;
    }
    const { token } = await issueToken({ key: this.#key });
    this.#leaving.signal.throwIfAborted();
    this.#line = new AbortController();
    this.#behind = 0;
    await followOverWs(
      { key: this.#key, token, after: this.#after, signal: this.#line.signal },
      {
        onOpen: () => this.#heard.onState("live"),
        onFrames: (frames) => {
          this.#pause = FIRST_PAUSE_MS;
          this.#behind = 0;
          this.#mayBeBehind = BEHIND;
          this.#after = frames.findLast(({ id }) => id !== null)?.id ?? this.#after;
          this.#heard.onFrames(frames);
        },
      },
    );
    return false;
  }

  /** @param {ApiError} error */
  #isFinal(error) {
    const gone = error.code === "stream-not-found" || error.code === "no-active-stream";
    this.#heard.onState(gone ? "gone" : "waiting", error.message);
    // Without an API key there is another page to be shown.
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
