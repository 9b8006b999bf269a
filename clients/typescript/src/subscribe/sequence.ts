import { SubscribeError } from "../errors.js";
import type { EventFields, Missed, RawEvent } from "./event.js";
import { MissedCounter } from "./missed.js";

/** Checks that nothing of a stream is missing and nothing comes twice, which two ids tell. */
export class Sequence {
  /**
   * The number that must come next; undefined where any may: at a beginning other than the
   * stream's, or after an id that is none.
   */
  #next: number | undefined;
  /**
   * Whether only some of the events are asked for: numbers then grow, and that none of those is
   * missing can't be seen.
   */
  readonly #filtered: boolean;
  /** Counts the events of this stream that are missing. */
  readonly missed = new MissedCounter();

  /**
   * `after` is the id that comes before; null before the stream's first event; undefined where it
   * is not known.
   */
  constructor(after: string | null | undefined, filtered: boolean) {
    this.#next = after === null ? 0 : follower(after);
    this.#filtered = filtered;
  }

  /** The event, when it may come now. Throws a `SubscribeError` `gap` when it may not. */
  accept({ id, event, data = "" }: RawEvent & { event: string }): EventFields {
    if (event === "missedevents") {
      const missed = parseMissed(data);
      this.missed.add(missed);
      this.#next = follower(missed.first, 0);
      return { id: null, event, data, missed };
    }
    const number = this.#check(id);
    this.#next = number + 1;
    return { id: id ?? null, event, data, missed: null };
  }

  /**
   * The position moves past events that were not asked for. Throws a `SubscribeError` `gap` when it
   * passes others.
   */
  move(id: string): void {
    const next = follower(id);
    const exact = this.#next === undefined || next === this.#next;
    if (next === undefined || (!exact && !(this.#filtered && next > (this.#next ?? 0))))
      this.#fail(id);
    this.#next = next;
  }

  #check(id: string | undefined): number {
    const number = follower(id, 0);
    const least = this.#next ?? 0;
    const fits =
      this.#next === undefined || number === least || (this.#filtered && Number(number) > least);
    return number !== undefined && fits ? number : this.#fail(id);
  }

  #fail(id: string | undefined): never {
    throw new SubscribeError(
      "gap",
      `Number ${this.#next ?? "?"} had to follow, and the id ${id ?? "(none)"} came`,
    );
  }
}

/** The number that comes `distance` after that of the id; undefined when it is no id. */
function follower(id: string | null | undefined, distance = 1): number | undefined {
  const number = /^\d+-(\d+)$/.exec(id ?? "")?.[1];
  return number === undefined ? undefined : Number(number) + distance;
}

function parseMissed(data: string): Missed {
  try {
    const { after, first, missed } = JSON.parse(data) as Missed;
    if (first === null || follower(first) !== undefined) return { after, first, missed };
  } catch (error) {
    throw new SubscribeError("gap", `A missedevents that can't be read: ${data}`, error);
  }
  throw new SubscribeError("gap", `A missedevents without the id that follows: ${data}`);
}
