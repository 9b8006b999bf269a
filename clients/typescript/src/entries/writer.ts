import type { Client } from "../client.js";
import type { PublishOptions } from "../publish/options.js";
import type { Writer } from "../publish/writer.js";
import { type Entry, eventsOf } from "./encode.js";
import { EntryError } from "./errors.js";
import { numberOf, type Position } from "./position.js";

/** Which stream to write to, and how. */
export interface EntryWriterOptions
  extends Pick<PublishOptions, "generation" | "lease" | "writeAfterStop"> {
  /** The id of the last event that the stream has. Without it, the stream has its `start` only. */
  lastId?: string | undefined;
}

/** Writes entries into a stream as its only producer, and knows the position of each. */
export class EntryWriter {
  /** Keeps the lease, hears stops, and finishes the stream. */
  readonly writer: Writer;
  /** The newest id that is known. */
  #known: string;
  /** The number of the next event. */
  #next: number;
  /** The number of the first event of this writer. */
  readonly #first: number;
  /** The last of the calls of `append`. It never rejects. */
  #appended: Promise<unknown> = Promise.resolve();

  /** Throws a `RangeError` when `lease` is out of its range. */
  constructor(client: Client, key: string, { lastId = "0-0", ...options }: EntryWriterOptions) {
    this.#known = lastId;
    this.#first = numberOf(lastId) + 1;
    this.#next = this.#first;
    const onAck = ({ count, lastId }: { count: number; lastId: string | null }) =>
      this.#acknowledged(count, lastId);
    this.writer = client.publish(key, { ...options, onAck });
  }

  /**
   * Stores entries, and returns their positions. Calls are done one after another. Throws an
   * `EntryError` `entry-too-large` before it writes any, and a `PublishError`. Its code is
   * `foreign-events` when somebody else writes into the stream.
   */
  append(entries: readonly Entry[]): Promise<Position[]> {
    const done = this.#appended.then(() => this.#append(entries));
    this.#appended = done.catch(() => {});
    return done;
  }

  async #append(entries: readonly Entry[]): Promise<Position[]> {
    const groups = entries.map(eventsOf);
    const before = this.#known;
    const numbers: number[] = [];
    for (const events of groups) {
      for (const { event, data } of events) {
        // The order is that of the calls. `flush` reports what goes wrong.
        await this.writer.write(event, data);
        this.#next += 1;
      }
      numbers.push(this.#next - 1);
    }
    await this.writer.flush();
    const last = numberOf(this.#known);
    return numbers.map((number) => ({ id: number === last ? this.#known : before, number }));
  }

  /** The broker has stored events. Numbers count all events of a stream, without holes. */
  #acknowledged(count: number, lastId: string | null): void {
    if (lastId === null) return;
    if (numberOf(lastId) !== this.#first + count - 1)
      throw new EntryError("foreign-events", "Somebody else writes into the stream");
    this.#known = lastId;
  }
}
