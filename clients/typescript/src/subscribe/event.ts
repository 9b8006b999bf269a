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
}

/** An event of a stream. */
export class StreamEvent implements EventFields {
  /**
   * `<milliseconds>-<number>`, where the number counts the stream's events from 0. Null for
   * `missedevents`.
   */
  readonly id: string | null;
  /** Its name. The broker's own names are `start`, `end`, `cancel` and `missedevents`. */
  readonly event: string;
  /** Its data. Empty when it has none. */
  readonly data: string;
  /** What is missing, for `missedevents`. Null for every other event. */
  readonly missed: Missed | null;

  constructor({ id, event, data, missed }: EventFields) {
    this.id = id;
    this.event = event;
    this.data = data;
    this.missed = missed;
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

/** The status of a finished stream, by the name of its last event. */
export const LAST_EVENTS: ReadonlyMap<string, "ended" | "cancelled"> = new Map([
  ["end", "ended"],
  ["cancel", "cancelled"],
]);
