// A client, seen from inside: one connection at a time, over server-sent events or WebSocket, which
// can be cut and taken up again.

import { ApiError, issueToken } from "./api.js";
import { entryOf, OWN_NAMES } from "./log.js";
import { Numbers } from "./numbers.js";
import { followOverSse } from "./sse.js";
import { textOf } from "./text.js";
import { followOverWs } from "./ws.js";

/** Of the wire, as much as can be looked at. */
const WIRE_KEPT = 16_000;

/**
 * @typedef {"sse" | "ws"} Transport
 * @typedef {"idle" | "connecting" | "open" | "cut" | "closed" | "finished"} ClientState
 */

export class Client {
  /** @type {ClientState} */
  state = "idle";
  /** Why it is closed, for people. */
  why = "";
  connections = 0;
  /** The id from which it would go on. @type {string | null} */
  after = null;
  numbers = new Numbers();
  /** What the events' data make together. */
  text = "";
  /** The end of what came over the wire. */
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

  /** Connects, from where it was; before its first event, from the stream's start. */
  async connect() {
    if (this.isConnected) return;
    this.#become("connecting");
    this.#line = new AbortController();
    const { signal } = this.#line;
    const connection = ++this.connections;
    try {
      const { token } = await issueToken({ key: this.#key });
      signal.throwIfAborted();
      this.#hearWire(
        `${connection > 1 ? "\n" : ""}── connection ${connection}${this.after ? `, after ${this.after}` : ""} ──\n`,
      );
      const follow = this.transport === "sse" ? followOverSse : followOverWs;
      const why = await follow(
        { key: this.#key, token, after: this.after, signal },
        {
          onOpen: () => this.#become("open"),
          onWire: (text) => this.#hearWire(text),
          onFrames: (frames) => this.#hear(frames, connection),
        },
      );
      this.#become(why === "" ? "finished" : "closed", why);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.#become("closed", error.message);
    }
  }

  /** Drops the connection without a word, as a lost network does. */
  cut() {
    if (!this.isConnected) return;
    this.#line.abort();
    this.#hearWire("\n── cut ──\n");
    this.#become("cut");
  }

  close() {
    this.#line.abort();
  }

  /**
   * @param {import("./sse.js").Frame[]} frames
   * @param {number} connection
   */
  #hear(frames, connection) {
    for (const frame of frames) {
      const { number, name, data } = entryOf(frame);
      if (number === null) {
        if (name === "missedevents") this.#hearOfMissed(JSON.parse(data));
        continue;
      }
      this.numbers.add(number, connection);
      if (!OWN_NAMES.includes(name)) this.text += textOf(data);
      this.after = frame.id;
    }
    this.#onChange();
  }

  #hearOfMissed(/** @type {{first: string, missed: number | null}} */ { first, missed }) {
    // The store lost what it had acknowledged: what follows is the whole stream as it is now.
    if (missed === null) {
      this.numbers = new Numbers();
      this.text = "";
    } else this.numbers.tell(entryOf({ id: first, event: "", data: "" }).number ?? 0);
  }

  #hearWire(/** @type {string} */ text) {
    this.wire = (this.wire + text).slice(-WIRE_KEPT);
    this.#onChange();
  }

  #become(/** @type {ClientState} */ state, why = "") {
    this.state = state;
    this.why = why;
    this.#onChange();
  }
}
