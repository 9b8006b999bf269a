// The newest KEPT events of a stream, with their numbers.

/** More than a user scrolls through. A tab is not an archive. */
export const KEPT = 100_000;

/**
 * @typedef {object} LogEntry
 * @property {number | null} number Counts the stream's events from 0. Null for frames that are not
 * events of the stream.
 * @property {string | null} id
 * @property {number | null} ms The time of the event, in milliseconds since the epoch.
 * @property {string} name
 * @property {string} data
 */

/** @param {import("./sse.js").Frame} frame */
export function entryOf({ id, event, data }) {
  const [ms, number] = id === null ? [null, null] : id.split("-").map(Number);
  return { id, number: number ?? null, ms: ms ?? null, name: event, data };
}

/** The names of the events that finish a stream. */
export const LAST_NAMES = ["end", "cancel", "fail", "abandon"];

/** The broker's own event names. */
export const OWN_NAMES = ["start", ...LAST_NAMES, "missedevents"];

export class EventLog {
  /** @type {LogEntry[]} */
  entries = [];
  /** The number of events by name. @type {Map<string, number>} */
  names = new Map();
  /** The number of all events. */
  total = 0;
  #filter = "";
  /** @type {LogEntry[]} */
  #matching = [];

  /** @param {LogEntry[]} entries */
  add(entries) {
    for (const entry of entries) {
      this.entries.push(entry);
      this.names.set(entry.name, (this.names.get(entry.name) ?? 0) + 1);
      if (this.#matches(entry)) this.#matching.push(entry);
    }
    this.total += entries.length;
    if (this.entries.length > KEPT * 1.1) {
      this.entries = this.entries.slice(-KEPT);
      this.filter = this.#filter;
    }
  }

  clear() {
    this.entries = [];
    this.names.clear();
    this.total = 0;
    this.#matching = [];
  }

  /** The event name to show. Empty for all. */
  get filter() {
    return this.#filter;
  }

  set filter(name) {
    this.#filter = name;
    this.#matching = this.entries.filter((entry) => this.#matches(entry));
  }

  /** The events that pass the filter, in order. */
  get shown() {
    return this.#filter === "" ? this.entries : this.#matching;
  }

  #matches(/** @type {LogEntry} */ entry) {
    return this.#filter === "" || entry.name === this.#filter;
  }

  get last() {
    return this.entries.at(-1) ?? null;
  }
}
