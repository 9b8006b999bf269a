import type { Connect, Signal } from "./connection.js";
import { LAST_EVENTS, type RawEvent, StreamEvent } from "./event.js";
import { Follower, type Wanted } from "./follower.js";
import { type MissedTotal, missedError } from "./missed.js";
import { type FollowOptions, isStart, withParameters } from "./options.js";
import { Sequence } from "./sequence.js";

/** What stream to follow, and how. */
export interface SubscribeOptions extends FollowOptions {
  /** Start after this id, instead of where `from` says. */
  after?: string | null | undefined;
}

/** What to do about events that are no longer stored. */
export interface CollectOptions {
  /** Go on without them, instead of throwing a `SubscribeError` `missed`. False. */
  allowMissed?: boolean | undefined;
}

/** What makes up the text. */
export interface TextOptions extends CollectOptions {
  /** The name of the events whose data make up the text. `token`. */
  event?: string | undefined;
}

/**
 * The events of a stream, to be iterated over once. It connects when the first event is asked for.
 */
export class Subscription extends Follower<StreamEvent> {
  /** How the stream was finished; null until its last event was handed out. */
  status: "ended" | "cancelled" | null = null;
  /**
   * The id of the last event handed out or passed over as it was not asked for, or that after which
   * the subscription started.
   */
  lastId: string | null;

  readonly #url: URL;
  readonly #fromStart: boolean;
  readonly #sequence: Sequence;
  /** It is followed, and there is no event yet: it begins with its first, wherever others would. */
  #awaited = false;
  #over = false;

  /** For `subscribe`. */
  constructor(options: SubscribeOptions, url: URL, connect: Connect) {
    super(options, connect);
    this.#url = withParameters(url, options);
    this.lastId = options.after ?? null;
    this.#fromStart = isStart(options.from);
    const start = this.lastId ?? (this.#fromStart ? null : undefined);
    this.#sequence = new Sequence(start, options.events !== undefined);
  }

  /** The events that are missing so far; null while none is. */
  get missed(): MissedTotal | null {
    return this.#sequence.missed.total;
  }

  /**
   * All events up to the end of the stream. Throws a `SubscribeError` `missed` when some are no
   * longer stored.
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
   * The text of the whole stream: the data of its events of one name. Throws a `SubscribeError`
   * `missed` when some events are no longer stored. `status` says afterwards whether the stream was
   * ended or cancelled.
   */
  async text({ event = "token", ...options }: TextOptions = {}): Promise<string> {
    const parts = (await this.collect(options)).filter((found) => found.event === event);
    return parts.map(({ data }) => data).join("");
  }

  protected override get over(): boolean {
    return this.#over;
  }

  protected override wanted(): Wanted {
    const key = encodeURIComponent(this.#url.searchParams.get("key") ?? "");
    return {
      url: this.#url,
      after: this.lastId ?? (this.#awaited ? `${key}:` : undefined),
      atOnce: this.lastId === null && !this.#fromStart && !this.#awaited,
    };
  }

  protected override accept(signal: Signal): StreamEvent | undefined {
    if (signal.kind === "event") return this.#take(signal.event);
    // A stream that is there is begun with a position, unless that is the start.
    if (signal.kind === "heartbeat") this.#awaited = this.lastId === null && !this.#fromStart;
    if (signal.kind === "moved") this.#move(signal.cursor);
    if (signal.kind === "over") this.#over = true;
    return undefined;
  }

  protected override spares(): boolean {
    return false;
  }

  protected override closed(): void {}

  #take({ id, event, data }: RawEvent): StreamEvent | undefined {
    if (event === undefined) {
      if (id) this.#move(id);
      return undefined;
    }
    const accepted = new StreamEvent(this.#sequence.accept({ id, event, data }));
    this.lastId = accepted.id ?? this.lastId;
    this.status = LAST_EVENTS.get(event) ?? null;
    this.#over = this.status !== null;
    return accepted;
  }

  #move(id: string): void {
    this.#sequence.move(id);
    this.lastId = id;
  }
}
