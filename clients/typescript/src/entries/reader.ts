import type { Client } from "../client.js";
import type { FinalStatus, StreamEvent } from "../subscribe/event.js";
import { missedError } from "../subscribe/missed.js";
import type { Subscription } from "../subscribe/subscription.js";
import { type Entry, EntryDecoder } from "./encode.js";
import { numberOf, type Position, positionOf } from "./position.js";

/** The position before the first event that a producer writes. */
export const START: Position = positionOf("0-0");

/** An entry of a stream. */
export interface StoredEntry extends Entry {
  /** The id of its last event. */
  id: string;
}

/** Reads the entries of a stream while they are written. */
export class EntryReader {
  /** The last event that came, such as `end` or `fail`. */
  last: StreamEvent | undefined;
  readonly #events: Subscription;
  readonly #decoder: EntryDecoder;
  readonly #after: number;

  /** Reads after this position. `names` are those of the entries. */
  constructor(
    client: Client,
    key: string,
    { id, number }: Position,
    names: readonly string[],
    signal: AbortSignal,
  ) {
    const after = numberOf(id) === 0 ? undefined : id;
    this.#events = client.subscribe(key, { after, signal });
    this.#decoder = new EntryDecoder(names);
    this.#after = number;
  }

  /** How the stream was finished, if the reader has received its last event. */
  get status(): FinalStatus | null {
    return this.#events.status;
  }

  /**
   * Yields entries until the stream is finished. Throws what a subscription throws, and a
   * `SubscribeError` `missed`.
   */
  async *read(): AsyncGenerator<StoredEntry, void, void> {
    for await (const event of this.#events) {
      this.last = event;
      if (event.missed) throw missedError(event.missed);
      const id = event.id as string;
      const entry = numberOf(id) > this.#after && this.#decoder.push(event.event, event.data);
      if (entry) yield { ...entry, id };
    }
  }
}
