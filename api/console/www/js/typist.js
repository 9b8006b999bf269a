// Types an answer into a stream at a steady pace, as a language model's backend would: tokens as
// lines of NDJSON. A browser can't upload while it goes on typing (that needs HTTP/2), so that each
// request takes what has come due since the last one, and numbers it: what has to be sent again
// after a break is stored once.

import { ApiError, upload } from "./api.js";

const PAUSE_MS = 500;
/** Many times a second, and few requests at a high pace. */
const TICK_MS = 25;

/** Words with the space before them, and punctuation: about what a tokenizer makes. */
export const tokensOf = (/** @type {string} */ text) =>
  text.match(/\s*[\p{L}\p{N}]+|\s*[^\s\p{L}\p{N}]+|\s+/gu) ?? [];

export class Typist {
  /** Tokens that the broker has. */
  written = 0;
  /** Why it waits, if it does. */
  trouble = "";
  running = false;
  /** Tokens a second; can be changed while it types. */
  pace;
  #producer = `console-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
  #tokens;
  #key;
  #name;
  #onChange;

  /**
   * @param {{key: string, text: string, name: string, pace: number}} what
   * @param {() => void} onChange
   */
  constructor({ key, text, name, pace }, onChange) {
    this.#key = key;
    this.#tokens = tokensOf(text);
    this.#name = name;
    this.pace = pace;
    this.#onChange = onChange;
  }

  get total() {
    return this.#tokens.length;
  }

  /**
   * Types until all is written or `stop` is called.
   * @throws {ApiError} The stream takes no more.
   */
  async type() {
    this.running = true;
    let due = 1;
    let last = performance.now();
    while (this.running && this.written < this.total) {
      await sleep(TICK_MS);
      const now = performance.now();
      due = Math.min(due + ((now - last) / 1_000) * this.pace, this.total);
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
