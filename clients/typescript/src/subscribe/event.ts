/** What a `missedevents` tells: events that were no longer stored when they were asked for. */
export interface Missed {
  /** The id after which was asked, or null at a stream's beginning. */
  after: string | null;
  /**
   * The id of the event that comes next; null when the stream is gone, and nothing more of it
   * comes.
   */
  first: string | null;
  /**
   * How many are missing; null when the broker can't know. The stream is then sent from its first
   * event, if it is not gone.
   */
  missed: number | null;
}

/** What is known of an event, but for its stream. */
export interface EventFields {
  id: string | null;
  event: string;
  data: string;
  missed: Missed | null;
}

/** An event of a stream. */
export class StreamEvent implements EventFields {
  /**
   * `<milliseconds>-<number>`, where the number counts the stream's events from 0; null for
   * `missedevents`.
   */
  readonly id: string | null;
  /** Its name. The broker's own are `start`, `end`, `cancel` and `missedevents`. */
  readonly event: string;
  /** Its data; empty when it has none. */
  readonly data: string;
  /** What is missing, for `missedevents`; null for every other event. */
  readonly missed: Missed | null;

  constructor({ id, event, data, missed }: EventFields) {
    this.id = id;
    this.event = event;
    this.data = data;
    this.missed = missed;
  }

  /**
   * The data, parsed as JSON. Throws a `SyntaxError` when it is none. What `T` says is not checked.
   */
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

/** An event as a connection brings it; without `event` it is nothing but a new position. */
export interface RawEvent {
  /** The stream; absent on a connection to one. */
  key?: string | undefined;
  id?: string | undefined;
  event?: string | undefined;
  data?: string | undefined;
  /** The position in all streams, where the frame tells it. */
  cursor?: string | undefined;
}

/** How a stream was finished whose last event has this name. */
export const LAST_EVENTS: ReadonlyMap<string, "ended" | "cancelled"> = new Map([
  ["end", "ended"],
  ["cancel", "cancelled"],
]);
