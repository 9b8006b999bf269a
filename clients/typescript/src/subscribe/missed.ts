import { SubscribeError } from "../errors.js";
import type { Missed } from "./event.js";

/** How many events a subscription has missed so far, because they were no longer stored. */
export interface MissedTotal {
  /** How many events are known to be missing. */
  readonly count: number;
  /** Whether `count` is exact. It is too low after a loss that the broker could not count. */
  readonly known: boolean;
}

/** Counts the events that a subscription has missed. */
export class MissedCounter {
  #earlier: MissedTotal | null = null;
  #last: Missed | null = null;

  /** Null while nothing is missing. */
  get total(): MissedTotal | null {
    const { count, known } = this.#earlier ?? { count: 0, known: true };
    if (!this.#last) return null;
    return { count: count + (this.#last.missed ?? 0), known: known && this.#last.missed !== null };
  }

  /**
   * Adds a loss. When a connection breaks before the next event, the broker reports the same loss
   * again with the same `after`. It counts once.
   */
  add(missed: Missed): void {
    if (this.#last && this.#last.after !== missed.after) this.#earlier = this.total;
    this.#last = missed;
  }
}

/** The sum over several streams. Null while nothing is missing. */
export function sumOf(totals: (MissedTotal | null)[]): MissedTotal | null {
  const losses = totals.filter((total) => total !== null);
  if (losses.length === 0) return null;
  const count = losses.reduce((sum, { count }) => sum + count, 0);
  return { count, known: losses.every(({ known }) => known) };
}

/** The error for a caller that needs every event. */
export function missedError({ missed, after }: Missed): SubscribeError {
  const where = after === null ? "at the start of the stream" : `after ${after}`;
  const advice =
    "Create the stream with a larger max_events, or set allowMissed to go on without them";
  return new SubscribeError(
    "missed",
    `${missed ?? "An unknown number of"} events ${where} are no longer stored. ${advice}`,
  );
}
