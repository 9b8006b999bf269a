import type { Received } from "./connection.js";
import type { Credentials } from "./credentials.js";
import { type FinalStatus, LAST_EVENTS, StreamEvent } from "./event.js";
import { failureError } from "./failure.js";
import { Follower } from "./follower.js";
import type { Frame } from "./frame.js";
import { type MissedTotal, missedError } from "./missed.js";
import type { FollowOptions } from "./options.js";
import { reasonOf, type StreamReason } from "./reason.js";
import { isStart, type SubscribeRequest, withParameters } from "./request.js";
import { SequenceCheck } from "./sequence.js";
import { unlessFinished } from "./signal.js";
import type { Endpoint } from "./transport.js";

/** Which stream to follow, and how. */
export interface SubscribeOptions extends FollowOptions {
  /** Continue after this id, instead of starting where `from` says. */
  after?: string | null | undefined;
}

/** What to do about events that are no longer stored. */
export interface CollectOptions {
  /** Go on without them, instead of throwing a `SubscribeError` `missed`. False. */
  allowMissed?: boolean | undefined;
}

/** Which events make up the text. */
export interface TextOptions extends CollectOptions {
  /** The name of the events whose data make up the text. `token`. */
  event?: string | undefined;
}

/** Iterates over the events of a stream, once. It connects when the first event is requested. */
export class Subscription extends Follower<StreamEvent> {
  /**
   * How the stream was finished. Null until its last event was handed out. Over server-sent events,
   * `failed` and `abandoned` come with the end of the iteration.
   */
  status: FinalStatus | null = null;
  /**
   * Why the stream was finished, as its last event says. Null for `ended`, for a cancellation
   * without a reason, and as long as `status` is null.
   */
  reason: StreamReason | null = null;
  /**
   * The current position: the id of the last event that was handed out or filtered. At first, the
   * id that the subscription started after.
   */
  lastId: string | null;

  readonly #options: SubscribeOptions;
  #url: URL | undefined;
  readonly #fromStart: boolean;
  readonly #sequence: SequenceCheck;
  /**
   * The session follows the stream, which has no event yet. So the start position is the stream's
   * first event, whatever `from` says.
   */
  #beforeFirst = false;
  #over = false;
  /** The status that the stream has if nothing follows the last event, and that event's data. */
  #statusIfOver: FinalStatus | null = null;
  #lastData = "";

  /** For `subscribe`. */
  constructor(options: SubscribeOptions, credentials: Credentials) {
    super(options, credentials);
    this.#options = options;
    this.lastId = options.after ?? null;
    this.#fromStart = isStart(options.from);
    const start = this.lastId ?? (this.#fromStart ? null : undefined);
    this.#sequence = new SequenceCheck(start, options.events !== undefined);
    if (credentials.endpoint) this.located(credentials.endpoint);
  }

  /** How many events are missing so far. Null while none is. */
  get missed(): MissedTotal | null {
    return this.#sequence.missed.total;
  }

  /**
   * All events up to the end of the stream, with its last one. `status` then says how the stream
   * was finished. Throws a `SubscribeError` `missed` when some are no longer stored.
   */
  async collect({ allowMissed = false }: CollectOptions = {}): Promise<StreamEvent[]> {
    const events: StreamEvent[] = [];
    for await (const event of this) {
      if (event.missed && !allowMissed) throw missedError(event.missed);
      events.push(event);
    }
    return events;
  }

  /**
   * The text of the whole stream: the data of its events of one name. `status` then says whether
   * the stream was ended or cancelled. Throws a `SubscribeError`: `missed` when some events are no
   * longer stored; `stream-failed` or `stream-abandoned` when the stream broke off.
   */
  async text({ event = "token", ...options }: TextOptions = {}): Promise<string> {
    const events = await this.collect(options);
    const failure = failureError(this.status, events.at(-1));
    if (failure) throw failure;
    const parts = events.filter((found) => found.event === event);
    return parts.map(({ data }) => data).join("");
  }

  /**
   * Sends a signal to the producer of the stream, and returns its number. `data` is any JSON value.
   * The token must permit it. Works at any time, also before the first event and after the last.
   *
   * Tries again for 30 seconds after a temporary failure. Throws the broker's `ApiError`, or an
   * `UnreachableError`.
   */
  sendSignal(name: string, data?: unknown): Promise<number> {
    return this.signalTo(undefined, name, data);
  }

  /**
   * Asks the producer to stop: sends the signal `stop` as `sendSignal` does. Returns its number, or
   * null when the stream is finished already.
   */
  requestStop(): Promise<number | null> {
    return unlessFinished(this.sendSignal("stop"));
  }

  protected override get over(): boolean {
    return this.#over;
  }

  protected override located({ url }: Endpoint): void {
    if (new Set(url.searchParams.getAll("key")).size > 1) {
      throw new TypeError("The URL names several streams: follow them with subscribeMany");
    }
    this.#url = withParameters(url, this.#options);
  }

  protected override request(): SubscribeRequest {
    const url = this.#url as URL;
    const key = encodeURIComponent(url.searchParams.get("key") ?? "");
    return {
      url,
      after: this.lastId ?? (this.#beforeFirst ? `${key}:` : undefined),
      respondAtOnce: this.lastId === null && !this.#fromStart && !this.#beforeFirst,
    };
  }

  protected override accept(received: Received): StreamEvent | undefined {
    if (received.kind === "frame") return this.#take(received.frame);
    // The broker sends the position in an existing stream first, unless that is its start. So a
    // heartbeat before any position means that the stream has no event yet.
    if (received.kind === "heartbeat") this.#beforeFirst = this.lastId === null && !this.#fromStart;
    if (received.kind === "moved") this.#move(received.cursor);
    if (received.kind === "over") {
      this.#over = true;
      this.#finished(this.status ?? this.#statusIfOver);
    }
    return undefined;
  }

  protected override toleratesRefusal(): boolean {
    return false;
  }

  protected override closed(): void {}

  #take({ id, event, data, count, stream_status, statusIfOver }: Frame): StreamEvent | undefined {
    this.#statusIfOver = statusIfOver ?? null;
    this.#lastData = data ?? "";
    if (event === undefined) {
      if (id) this.#move(id);
      return undefined;
    }
    const accepted = new StreamEvent(this.#sequence.accept({ id, event, data, count }));
    this.lastId = accepted.id ?? this.lastId;
    this.#finished(stream_status ?? LAST_EVENTS.get(event) ?? null);
    this.#over = this.status !== null;
    return accepted;
  }

  #finished(status: FinalStatus | null): void {
    this.status = status;
    this.reason = status === null || status === "ended" ? null : reasonOf(this.#lastData);
  }

  #move(id: string): void {
    this.#sequence.move(id);
    this.lastId = id;
  }
}
