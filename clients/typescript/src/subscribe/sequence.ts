import { SubscribeError } from "../errors.js";
import type { EventFields, Missed } from "./event.js";
import type { Frame } from "./frame.js";
import { MissedCounter } from "./missed.js";

/** Checks by the ids that each event of a stream follows the one before, and that none repeats. */
export class SequenceCheck {
  /**
   * The number that must come next. Undefined where any number may come: at a start position other
   * than the stream's start, and after text that is not an id.
   */
  #next: number | undefined;
  /**
   * Whether an event names filter applies. Numbers then only have to grow, because a filtered
   * event looks like a missing one.
   */
  readonly #filtered: boolean;
  /** Counts the missing events of this stream. */
  readonly missed = new MissedCounter();

  /**
   * `after` is the id before the next event. Null before the stream's first event; undefined where
   * it is not known.
   */
  constructor(after: string | null | undefined, filtered: boolean) {
    this.#next = after === null ? 0 : numberAfter(after);
    this.#filtered = filtered;
  }

  /** Returns the event of a frame. Throws a `SubscribeError` `gap` when it does not follow. */
  accept({ id, event, data = "", count = 1 }: Frame & { event: string }): EventFields {
    if (event === "missedevents") {
      const missed = parseMissed(data);
      this.missed.add(missed);
      this.#next = numberAfter(missed.first, 0);
      return { id: null, event, data, missed, count };
    }
    this.#next = this.#check(id, count) + 1;
    return { id: id ?? null, event, data, missed: null, count };
  }

  /**
   * Moves the position past filtered events. Throws a `SubscribeError` `gap` when it passes an
   * event that was not filtered.
   */
  move(id: string): void {
    const next = numberAfter(id);
    const exact = this.#next === undefined || next === this.#next;
    if (next === undefined || (!exact && !(this.#filtered && next > (this.#next ?? 0))))
      this.#fail(id);
    this.#next = next;
  }

  /** The number of an event that stands for `count` events. It is the number of the last of them. */
  #check(id: string | undefined, count: number): number {
    const number = numberAfter(id, 0);
    const first = Number(number) - count + 1;
    const least = this.#next ?? 0;
    const fits = this.#next === undefined || first === least || (this.#filtered && first > least);
    return number !== undefined && fits ? number : this.#fail(id);
  }

  #fail(id: string | undefined): never {
    throw new SubscribeError(
      "gap",
      `Number ${this.#next ?? "?"} had to follow, and the id ${id ?? "(none)"} came`,
    );
  }
}

/** The number of the id plus `distance`. Undefined when the text is not an id. */
function numberAfter(id: string | null | undefined, distance = 1): number | undefined {
  const number = /^\d+-(\d+)$/.exec(id ?? "")?.[1];
  return number === undefined ? undefined : Number(number) + distance;
}

function parseMissed(data: string): Missed {
  try {
    const { after, first, missed } = JSON.parse(data) as Missed;
    if (first === null || numberAfter(first) !== undefined) return { after, first, missed };
  } catch (error) {
    throw new SubscribeError("gap", `A missedevents that can't be read: ${data}`, error);
  }
  throw new SubscribeError("gap", `A missedevents without the id that follows: ${data}`);
}
