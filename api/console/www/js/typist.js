// Types an answer into a stream at a steady rate, like the backend of a language model: tokens as
// lines of NDJSON. A browser can't keep one upload open, because that needs HTTP/2. So each request
// contains the tokens that are due since the last one. It has a sequence number, so that tokens
// that are sent again are stored once.

import { ApiError, upload } from "./api.js";

const PAUSE_MS = 500;
/** Many times a second, but few requests at a high rate. */
const TICK_MS = 25;

/** Words with the space before them, and punctuation, similar to a tokenizer. */
export const tokensOf = (/** @type {string} */ text) =>
  text.match(/\s*[\p{L}\p{N}]+|\s*[^\s\p{L}\p{N}]+|\s+/gu) ?? [];

export class Typist {
  /** The tokens that the broker has stored. */
  written = 0;
  /** The reason of a wait. */
  trouble = "";
  running = false;
  /** Tokens per second. It can change while the answer is typed. */
  rate;
  #producer = `console-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
  #tokens;
  #key;
  #name;
  #onChange;

  /**
   * @param {{key: string, text: string, name: string, rate: number}} what
   * @param {() => void} onChange
   */
  constructor({ key, text, name, rate }, onChange) {
    this.#key = key;
    this.#tokens = tokensOf(text);
    this.#name = name;
    this.rate = rate;
    this.#onChange = onChange;
  }

  get total() {
    return this.#tokens.length;
  }

  /**
   * Types until all tokens are written or `stop` is called.
   * @throws {ApiError} The stream takes no more events.
   */
  async type() {
    this.running = true;
    let due = 1;
    let last = performance.now();
    while (this.running && this.written < this.total) {
      await sleep(TICK_MS);
      const now = performance.now();
      due = Math.min(due + ((now - last) / 1_000) * this.rate, this.total);
      last = now;
      if (Math.floor(due) > this.written)
        await this.#send(this.#tokens.slice(this.written, Math.floor(due)));
    }
    this.running = false;
    this.#onChange();
  }

  stop() {
    this.running = false;
  }

  async #send(/** @type {string[]} */ tokens) {
    const events = tokens.map((data) => ({ event: this.#name, data }));
    try {
      await upload(this.#key, events, { producer: this.#producer, sequence: this.written });
      this.written += events.length;
      this.trouble = "";
    } catch (error) {
      const passes =
        error instanceof ApiError &&
        (error.status === 0 || error.status === 429 || error.status === 503);
      if (!passes) {
        this.running = false;
        this.#onChange();
        throw error;
      }
      this.trouble = error.message;
      await sleep(PAUSE_MS);
    }
    this.#onChange();
  }
}

const sleep = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));
