// The events of one stream as they have come, the newest KEPT of them, with their numbers.

/** More than a screen can be scrolled through with pleasure; a tab is no archive. */
export const KEPT = 100_000;

/**
 * @typedef {object} LogEntry
 * @property {number | null} number Counts the stream's events from 0; null for what is no event of
 * its own.
 * @property {string | null} id
 * @property {number | null} ms When it was written, of the epoch.
 * @property {string} name
 * @property {string} data
 */

/** @param {import("./sse.js").Frame} frame */
export function entryOf({ id, event, data }) {
  const [ms, number] = id === null ? [null, null] : id.split("-").map(Number);
  return { id, number: number ?? null, ms: ms ?? null, name: event, data };
}

/** The broker's own names, and so never a user's. */
export const OWN_NAMES = ["start", "end", "cancel", "missedevents"];

export class EventLog {
  /** @type {LogEntry[]} */
  entries = [];
  /** How many of each name came. @type {Map<string, number>} */
  names = new Map();
  /** How many came in all. */
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

  /** The one name to show; empty for all. */
  get filter() {
    return this.#filter;
  }

  set filter(name) {
    this.#filter = name;
    this.#matching = this.entries.filter((entry) => this.#matches(entry));
  }

  /** What passes the filter, in order. */
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
