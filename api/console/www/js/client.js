// A subscriber and what its connection carries. It has one connection at a time, over server-sent
// events or WebSocket. The user can cut it and connect again.

import { ApiError, issueToken } from "./api.js";
import { entryOf, OWN_NAMES } from "./log.js";
import { Numbers } from "./numbers.js";
import { followOverSse } from "./sse.js";
import { textOf } from "./text.js";
import { followOverWs } from "./ws.js";

/** How many characters of the connection's bytes are kept. */
const WIRE_KEPT = 16_000;

/**
 * @typedef {"sse" | "ws"} Transport
 * @typedef {"idle" | "connecting" | "open" | "cut" | "closed" | "finished"} ClientState
 */

export class Client {
  /** @type {ClientState} */
  state = "idle";
  /** Why the connection is closed, for people. */
  why = "";
  connections = 0;
  /** The id to continue after. @type {string | null} */
  after = null;
  numbers = new Numbers();
  /** The text of the events' data. */
  text = "";
  /** The last bytes of the connection, as text. */
  wire = "";
  #line = new AbortController();
  #key;
  #onChange;

  /**
   * @param {Transport} transport
   * @param {string} key
   * @param {() => void} onChange
   */
  constructor(transport, key, onChange) {
    this.transport = transport;
    this.#key = key;
    this.#onChange = onChange;
  }

  get isConnected() {
    return this.state === "connecting" || this.state === "open";
  }

  /** Connects, and continues at its position. Without an event that is the stream's start. */
  async connect() {
    if (this.isConnected) return;
    this.#become("connecting");
    this.#line = new AbortController();
    const { signal } = this.#line;
    const connection = ++this.connections;
    try {
      const { token } = await issueToken({ key: this.#key });
      signal.throwIfAborted();
      const gap = connection > 1 ? "\n" : "";
      const position = this.after ? `, after ${this.after}` : "";
      this.#takeWire(`${gap}── connection ${connection}${position} ──\n`);
      const follow = this.transport === "sse" ? followOverSse : followOverWs;
      const why = await follow(
        { key: this.#key, token, after: this.after, signal },
        {
          onOpen: () => this.#become("open"),
          onWire: (text) => this.#takeWire(text),
          onFrames: (frames) => this.#take(frames, connection),
        },
      );
      this.#become(why === "" ? "finished" : "closed", why);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.#become("closed", error.message);
    }
  }

  /** Drops the connection without a close, as a lost network does. */
  cut() {
    if (!this.isConnected) return;
    this.#line.abort();
    this.#takeWire("\n── cut ──\n");
    this.#become("cut");
  }

  close() {
    this.#line.abort();
  }

  /**
   * @param {import("./sse.js").Frame[]} frames
   * @param {number} connection
   */
  #take(frames, connection) {
    for (const frame of frames) {
      const { number, name, data } = entryOf(frame);
      if (number === null) {
        if (name === "missedevents") this.#takeMissed(JSON.parse(data));
        continue;
      }
      this.numbers.add(number, connection);
      if (!OWN_NAMES.includes(name)) this.text += textOf(data);
      this.after = frame.id;
    }
    this.#onChange();
  }

  #takeMissed(/** @type {{first: string, missed: number | null}} */ { first, missed }) {
    // The store has lost acknowledged events. The whole current stream follows.
    if (missed === null) {
      this.numbers = new Numbers();
      this.text = "";
    } else this.numbers.miss(entryOf({ id: first, event: "", data: "" }).number ?? 0);
  }

  #takeWire(/** @type {string} */ text) {
    this.wire = (this.wire + text).slice(-WIRE_KEPT);
    this.#onChange();
  }

  #become(/** @type {ClientState} */ state, why = "") {
    this.state = state;
    this.why = why;
    this.#onChange();
  }
}
