/** The content of a `missedevents`: events were no longer stored when a subscriber needed them. */
export interface Missed {
  /** The id that the subscriber continued after, or null at the start of the stream. */
  after: string | null;
  /** The id of the next event. Null when the stream was deleted: nothing more of it comes. */
  first: string | null;
  /**
   * How many events are missing. Null when the broker can't know it. If the stream exists, it is
   * then sent from its first event.
   */
  missed: number | null;
}

/** The members of an event, without its stream. */
export interface EventFields {
  id: string | null;
  event: string;
  data: string;
  missed: Missed | null;
  count: number;
}

/** An event of a stream. */
export class StreamEvent implements EventFields {
  /**
   * `<milliseconds>-<number>`, where the number counts the stream's events from 0. Null for
   * `missedevents`.
   */
  readonly id: string | null;
  /**
   * Its name. The broker's own names are `start`, `end`, `cancel`, `fail`, `abandon` and
   * `missedevents`.
   */
  readonly event: string;
  /** Its data. Empty when it has none. */
  readonly data: string;
  /** What is missing, for `missedevents`. Null for every other event. */
  readonly missed: Missed | null;
  /** How many stored events it stands for. More than one only with `rollup`. */
  readonly count: number;

  constructor({ id, event, data, missed, count }: EventFields) {
    this.id = id;
    this.event = event;
    this.data = data;
    this.missed = missed;
    this.count = count;
  }

  /** Parses the data as JSON. Throws a `SyntaxError` when it is not JSON. `T` is not checked. */
  json<T = unknown>(): T {
    return JSON.parse(this.data) as T;
  }
}

/** An event of one of several streams. */
export class KeyedEvent extends StreamEvent {
  /** The key of its stream. */
  readonly key: string;

  constructor(key: string, fields: EventFields) {
    super(fields);
    this.key = key;
  }
}

/**
 * How a stream was finished. `ended`: it is complete. `cancelled`: somebody has stopped it.
 * `failed`: its producer failed. `abandoned`: its producer went silent.
 */
export type FinalStatus = "ended" | "cancelled" | "failed" | "abandoned";

/** The status of a finished stream, by the name of its last event. These names are the broker's. */
export const LAST_EVENTS: ReadonlyMap<string, FinalStatus> = new Map([
  ["end", "ended"],
  ["cancel", "cancelled"],
]);

/**
 * The same, for names that publishers could use before. A stream may have ordinary events of these
 * names. So such an event is the last one only if the broker says so, or if nothing follows it.
 */
export const POSSIBLE_LAST_EVENTS: ReadonlyMap<string, FinalStatus> = new Map([
  ["fail", "failed"],
  ["abandon", "abandoned"],
]);
