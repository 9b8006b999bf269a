import { SubscribeError } from "../errors.js";

/** What a `missedevents` tells: events that were no longer stored when they were asked for. */
export interface Missed {
  /** The id after which was asked, or null at a stream's beginning. */
  after: string | null;
  /** The id of the event that comes next. */
  first: string;
  /** How many are missing; null when the broker can't know. The stream is then sent from its first event. */
  missed: number | null;
}

/** An event of a stream. */
export class StreamEvent {
  /** `<milliseconds>-<number>`, where the number counts the stream's events from 0; null for `missedevents`. */
  readonly id: string | null;
  /** Its name. The broker's own are `start`, `end`, `cancel` and `missedevents`. */
  readonly event: string;
  /** Its data; empty when it has none. */
  readonly data: string;
  /** What is missing, for `missedevents`; null for every other event. */
  readonly missed: Missed | null;

  constructor(id: string | null, event: string, data: string, missed: Missed | null = null) {
    this.id = id;
    this.event = event;
    this.data = data;
    this.missed = missed;
  }

  /** The data, parsed as JSON. Throws a `SyntaxError` when it is none. What `T` says is not checked. */
  json<T = unknown>(): T {
    return JSON.parse(this.data) as T;
  }
}

/** An event as a connection brings it. */
export interface RawEvent {
  id?: string | undefined;
  event: string;
  data?: string | undefined;
}

/** Checks that nothing is missing and nothing comes twice, which two ids tell. */
export class Sequence {
  /** The number that must come next; undefined after an id that is none, which is the broker's to refuse. */
  #next: number | undefined;

  constructor(after: string | undefined) {
    this.#next = after === undefined ? 0 : follower(after);
  }

  /** The event, when it is the one that had to come. Throws a `SubscribeError` `gap` when it is not. */
  accept({ id, event, data = "" }: RawEvent): StreamEvent {
    if (event === "missedevents" && id === undefined) {
      const missed = parseMissed(data);
      this.#next = numberOf(missed.first);
      return new StreamEvent(null, event, data, missed);
    }
    const number = id === undefined ? undefined : numberOf(id);
    if (id === undefined || number === undefined || (this.#next !== undefined && number !== this.#next)) {
      throw new SubscribeError(
        "gap",
        `Number ${this.#next ?? "?"} had to follow, and the id ${id ?? "(none)"} came`,
      );
    }
    this.#next = number + 1;
    return new StreamEvent(id, event, data);
  }
}

function numberOf(id: string): number | undefined {
  const number = /^\d+-(\d+)$/.exec(id)?.[1];
  return number === undefined ? undefined : Number(number);
}

function follower(id: string): number | undefined {
  const number = numberOf(id);
  return number === undefined ? undefined : number + 1;
}

function parseMissed(data: string): Missed {
  try {
    const { after, first, missed } = JSON.parse(data) as Missed;
    if (numberOf(first) !== undefined) return { after, first, missed };
  } catch (error) {
    throw new SubscribeError("gap", `A missedevents that can't be read: ${data}`, error);
  }
  throw new SubscribeError("gap", `A missedevents without the id that follows: ${data}`);
}
