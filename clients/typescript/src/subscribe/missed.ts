import { SubscribeError } from "../errors.js";
import type { Missed } from "./event.js";

/**
 * What a subscription has missed so far: events that were no longer stored when it asked for them.
 */
export interface MissedTotal {
  /** How many events are known to be missing. */
  readonly count: number;
  /** Whether `count` is all of them. It is not after a loss that the broker could not count. */
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
   * A connection that breaks before the next event makes the broker report the same loss again,
   * after the same id.
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

/** The error of code that needs every event. */
export function missedError({ missed, after }: Missed): SubscribeError {
  const place = after === null ? "at the beginning of the stream" : `after ${after}`;
  return new SubscribeError(
    "missed",
    `${missed ?? "An unknown number of"} events ${place} are no longer stored. Create the stream with a larger max_events, or set allowMissed to go on without them`,
  );
}
