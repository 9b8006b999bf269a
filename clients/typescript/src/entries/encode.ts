import type { Event } from "../generated/openapi.js";
import { EntryError } from "./errors.js";

/**
 * The most code units of one event. A character takes at most three bytes, so an event stays within
 * the broker's limit of 1 MiB.
 */
const MAX_EVENT = 100_000;
/** The most code units of one entry. */
const MAX_ENTRY = 16 * 1024 * 1024;
/** The name of the events that carry the beginning of a long entry. */
const PIECE_EVENT = "piece";

/** A value of an adapter: what a stream keeps of it. */
export interface Entry {
  /** The name of the event that ends the entry. */
  name: string;
  /** Text without line breaks, such as JSON. */
  data: string;
}

/** The events that carry this entry. Throws an `EntryError` `entry-too-large`. */
export function eventsOf({ name, data }: Entry): (Event & { data: string })[] {
  checkLength(data.length);
  const events: (Event & { data: string })[] = [];
  let rest = data;
  while (rest.length > MAX_EVENT) {
    // A character is never cut: the writer would hold its first half back.
    const isCut = /[\uD800-\uDBFF]/.test(rest.charAt(MAX_EVENT - 1));
    const length = isCut ? MAX_EVENT - 1 : MAX_EVENT;
    events.push({ event: PIECE_EVENT, data: rest.slice(0, length) });
    rest = rest.slice(length);
  }
  events.push({ event: name, data: rest });
  return events;
}

/** Makes entries of the events of a stream, in their order. */
export class EntryDecoder {
  readonly #names: ReadonlySet<string>;
  #pieces: string[] = [];
  #length = 0;

  /** `names` are those of the entries. Other events are none. */
  constructor(names: readonly string[]) {
    this.#names = new Set(names);
  }

  /**
   * The entry that this event completes, if it does. Throws an `EntryError` `entry-too-large`.
   */
  push(event: string, data: string): Entry | undefined {
    if (event === PIECE_EVENT) {
      this.#length += data.length;
      checkLength(this.#length);
      this.#pieces.push(data);
      return undefined;
    }
    if (!this.#names.has(event)) return undefined;
    const whole = this.#pieces.join("") + data;
    this.#pieces = [];
    this.#length = 0;
    return { name: event, data: whole };
  }
}

function checkLength(length: number): void {
  if (length > MAX_ENTRY)
    throw new EntryError("entry-too-large", `An entry has more than ${MAX_ENTRY} characters`);
}
