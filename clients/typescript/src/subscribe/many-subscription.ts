import type { ApiError } from "../errors.js";
import { type Change, Changes } from "./changes.js";
import type { Received } from "./connection.js";
import type { Credentials } from "./credentials.js";
import { Cursor } from "./cursor.js";
import { type FinalStatus, KeyedEvent, LAST_EVENTS } from "./event.js";
import { Follower } from "./follower.js";
import type { Frame, Reply } from "./frame.js";
import type { AddOptions, FollowedStatus, SubscribeManyOptions } from "./many-options.js";
import { type MissedTotal, sumOf } from "./missed.js";
import type { From } from "./options.js";
import { ReadAhead } from "./read-ahead.js";
import { reasonOf, type StreamReason } from "./reason.js";
import { fromText, isStart, type SubscribeRequest, withParameters } from "./request.js";
import { SequenceCheck } from "./sequence.js";
import { unlessFinished } from "./signal.js";
import type { Endpoint } from "./transport.js";

/** A stream of the subscription. */
interface FollowedStream {
  status: FollowedStatus;
  /** The status that it has if nothing follows its last event. */
  statusIfOver: FinalStatus | null;
  /** The data of its last event so far. */
  lastData: string | undefined;
  readonly sequence: SequenceCheck;
  readonly from: From | undefined;
  readonly wait: boolean | undefined;
}

/** The positions, and how streams are finished, at the time of an event. */
interface Progress {
  readonly cursor: Cursor;
  readonly statuses: Map<string, FollowedStatus>;
  readonly reasons: Map<string, StreamReason | null>;
}

/**
 * Iterates over the events of several streams, once, over one connection. It connects when the
 * first event is requested. It is over when all of its streams are. Without any stream it waits
 * until one is added.
 */
export class ManySubscription extends Follower<KeyedEvent> {
  readonly #options: SubscribeManyOptions;
  #url: URL | undefined;
  #overWebSocket = false;
  readonly #streams = new Map<string, FollowedStream>();
  #cursor = new Cursor();
  readonly #changes = new Changes();
  /** The change that the connection's own request contains. */
  #joining: Change | undefined;
  /** Sends a message over the connection. Undefined when it takes none, or is not open. */
  #send: ((message: string) => void) | undefined;
  #open = false;
  /** The stream of a connection to one stream, whose frames contain no key. */
  #only: string | undefined;
  #wake = () => {};
  /** Reads on while a change waits, so that the loop that reads may also await the change. */
  readonly #ahead = new ReadAhead<KeyedEvent>(() => super.next());
  /** The stream and the progress of each event that was read ahead. */
  readonly #origins = new WeakMap<KeyedEvent, { stream: FollowedStream; progress: Progress }>();
  /** The reader's progress, where the subscription has read ahead of the reader. */
  #shown: Progress | undefined;

  /** For `subscribeMany`. */
  constructor(options: SubscribeManyOptions, credentials: Credentials) {
    super(options, credentials);
    this.#options = options;
    if (options.keys) this.#begin(options.keys);
    if (credentials.endpoint) this.located(credentials.endpoint);
  }

  /** The status of each stream that was not dropped. */
  get statuses(): ReadonlyMap<string, FollowedStatus> {
    return (this.#shown ?? this.#progress()).statuses;
  }

  /** Why each stream was finished, as its last event says. Null as `reason` of `subscribe` is. */
  get reasons(): ReadonlyMap<string, StreamReason | null> {
    return (this.#shown ?? this.#progress()).reasons;
  }

  /** How many events of all streams that were not dropped are missing. Null while none is. */
  get missed(): MissedTotal | null {
    return sumOf(Array.from(this.#streams.values(), ({ sequence }) => sequence.missed.total));
  }

  /**
   * The position in all streams: the `after` of another subscription, over any transport. Null
   * while there is none.
   */
  get cursor(): string | null {
    return (this.#shown?.cursor ?? this.#cursor).toString() || null;
  }

  /**
   * Adds a stream. Throws a `RefusedError` when the broker refuses it; the subscription then goes
   * on without it.
   *
   * Over WebSocket this sends a message. Over other transports another connection replaces this
   * one.
   */
  add(key: string, { after, from, wait }: AddOptions = {}): Promise<void> {
    return this.#change({
      op: "subscribe",
      key,
      after: after ?? undefined,
      from: from ?? this.#options.from,
      wait: wait ?? this.#options.wait,
    });
  }

  /** Drops a stream and its position. Throws a `RefusedError` when it is not followed. */
  drop(key: string): Promise<void> {
    return this.#change({ op: "unsubscribe", key });
  }

  /** Sends a signal to the producer of a stream, as `sendSignal` of `subscribe` does. */
  sendSignal(key: string, name: string, data?: unknown): Promise<number> {
    return this.signalTo(key, name, data);
  }

  /** Asks the producer of a stream to stop, as `requestStop` of `subscribe` does. */
  requestStop(key: string): Promise<number | null> {
    return unlessFinished(this.sendSignal(key, "stop"));
  }

  override async next(): Promise<IteratorResult<KeyedEvent, undefined>> {
    for (;;) {
      const result = await this.#ahead.next();
      const origin = result.done ? undefined : this.#origins.get(result.value);
      this.#shown = origin?.progress ?? (this.#ahead.ahead ? this.#shown : undefined);
      // An event that was read ahead is not handed out when its stream was dropped since.
      if (!origin || !result.value || this.#streams.get(result.value.key) === origin.stream)
        return result;
    }
  }

  override return(): Promise<IteratorResult<KeyedEvent, undefined>> {
    this.#ahead.clear();
    return super.return();
  }

  protected override get over(): boolean {
    return this.#changes.empty && this.#streams.size > 0 && this.#active().length === 0;
  }

  protected override located({ url, overWebSocket }: Endpoint): void {
    if (this.#url) return;
    const { from, wait, ...rest } = this.#options;
    this.#url = withParameters(url, rest);
    this.#overWebSocket = overWebSocket;
    if (!this.#options.keys) this.#begin(url.searchParams.getAll("key"));
  }

  protected override request(
    signal: AbortSignal,
  ): SubscribeRequest | undefined | Promise<SubscribeRequest | undefined> {
    this.#send = undefined;
    this.#open = false;
    this.#changes.reset();
    this.#applyLocalChanges();
    const active = this.#active();
    // Over WebSocket each stream is added by a message, once there is a connection.
    this.#joining = this.#overWebSocket && active.length > 0 ? undefined : this.#changes.first;
    const followed = active.map(([key, { from, wait }]) => ({ key, from, wait }));
    const streams = this.#joining ? [...followed, this.#joining] : followed;
    if (streams.length > 0) return this.#requestFor(streams);
    if (this.over) return undefined;
    return new Promise<void>((resolve, reject) => {
      this.#wake = resolve;
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    }).then(() => this.request(signal));
  }

  protected override accept(received: Received): KeyedEvent | undefined {
    switch (received.kind) {
      case "open":
        this.#opened(received.send);
        break;
      case "frame":
        return this.#take(received.frame);
      case "heartbeat":
        this.#setStarts();
        break;
      case "moved":
        if (this.#only === undefined) this.#cursor.take(received.cursor);
        else this.#take({ id: received.cursor });
        break;
      case "reply":
        this.#replied(received.reply);
        break;
      case "over":
        for (const [key, stream] of this.#active()) {
          stream.status = stream.statusIfOver;
          if (stream.status) this.#cursor.complete(key);
        }
    }
    return undefined;
  }

  protected override toleratesRefusal(error: ApiError): boolean {
    if (!this.#joining) return false;
    this.#changes.refused(error.code, error.message, error);
    return true;
  }

  protected override closed(): void {
    this.#changes.close();
  }

  /** Makes the first changes, up to the first one that the broker has to know. */
  #applyLocalChanges(): void {
    for (let change = this.#changes.first; change; change = this.#changes.first) {
      const active = this.#streams.get(change.key)?.status === "active";
      if (change.op === "unsubscribe" && !(active && this.#open)) this.#dropFirst();
      else if (change.op === "subscribe" && active)
        this.#changes.refused("already-subscribed", "The stream is followed already");
      else return;
    }
  }

  #active(): [string, FollowedStream][] {
    return [...this.#streams].filter(([, { status }]) => status === "active");
  }

  #progress(): Progress {
    const statuses = new Map(Array.from(this.#streams, ([key, { status }]) => [key, status]));
    const reasons = new Map(Array.from(this.#streams, ([key, stream]) => [key, reason(stream)]));
    return { cursor: this.#cursor.copy(), statuses, reasons };
  }

  /** Follows the streams with which the subscription begins. */
  #begin(keys: readonly string[]): void {
    const { after, from, wait } = this.#options;
    this.#cursor = Cursor.of(after ?? "", keys);
    for (const key of keys) this.#follow({ key, from, wait }, this.#cursor.idOf(key));
  }

  /**
   * Follows a stream after this id. Null is the stream's start; undefined is an unknown position.
   */
  #follow(
    { key, from, wait }: Pick<Change, "key" | "from" | "wait">,
    after: string | null | undefined,
  ): void {
    const known = after || (isStart(from) ? after : undefined);
    const sequence = new SequenceCheck(known, this.#options.events !== undefined);
    this.#streams.set(key, {
      status: "active",
      statusIfOver: null,
      lastData: undefined,
      sequence,
      from,
      wait,
    });
  }

  /** A request for these streams, each from its position or its start position. */
  #requestFor(streams: readonly Omit<Change, "op">[]): SubscribeRequest {
    const url = new URL(this.#url as URL);
    url.searchParams.delete("key");
    for (const { key } of streams) url.searchParams.append("key", key);
    if (streams.some(({ wait }) => wait)) url.searchParams.set("wait", "true");
    const cursor = this.#cursor.copy();
    if (this.#joining) setPosition(cursor, this.#joining);
    // A connection has one `from`. Streams with another start position start at their first event,
    // so that nothing is missed.
    const [lacking, unsure] = [
      streams.filter(({ key }) => cursor.lacks(key)),
      streams.filter(({ key }) => !cursor.names(key)),
    ];
    const from = [...lacking, ...unsure].find(({ from }) => !isStart(from))?.from;
    if (from !== undefined) url.searchParams.set("from", fromText(from));
    for (const stream of lacking) {
      if (from !== undefined && fromText(stream.from ?? "start") !== fromText(from))
        cursor.set(stream.key, "");
    }
    this.#only = streams.length === 1 ? streams[0]?.key : undefined;
    const respondAtOnce = this.#joining !== undefined || (from !== undefined && lacking.length > 0);
    return { url, after: cursor.toString() || undefined, respondAtOnce };
  }

  #opened(send: ((message: string) => void) | undefined): void {
    this.#open = true;
    this.#send = send;
    if (this.#joining) this.#addFirst(this.#joining, this.#joining.after);
    this.#joining = undefined;
    this.#sendChanges();
  }

  #take(frame: Frame): KeyedEvent | undefined {
    const { key = this.#only, id, event, cursor } = frame;
    const stream = this.#streams.get(key ?? "");
    if (key === undefined || stream?.status !== "active") return undefined;
    stream.statusIfOver = frame.statusIfOver ?? null;
    stream.lastData = frame.data;
    if (event === undefined) {
      if (id) stream.sequence.move(id);
      this.#moved(key, id, cursor);
      return undefined;
    }
    const taken = new KeyedEvent(key, stream.sequence.accept({ ...frame, event }));
    const status = frame.stream_status ?? LAST_EVENTS.get(event) ?? "active";
    stream.status = taken.missed && taken.missed.first === null ? "gone" : status;
    this.#moved(key, taken.id, cursor);
    if (stream.status !== "active") this.#cursor.complete(key);
    if (this.#ahead.ahead || !this.#changes.empty)
      this.#origins.set(taken, { stream, progress: this.#progress() });
    return taken;
  }

  /**
   * The broker sends the position in an existing stream first, unless that is its start. So a
   * stream without a position after a heartbeat has no event yet, and starts with its first one.
   */
  #setStarts(): void {
    for (const [key, { from }] of this.#active()) {
      if (!isStart(from) && this.#cursor.lacks(key)) this.#cursor.set(key, "");
    }
  }

  #moved(key: string, id: string | null | undefined, cursor: string | undefined): void {
    if (cursor !== undefined) this.#cursor.take(cursor);
    else if (id) this.#cursor.set(key, id);
  }

  /** Makes a change, after the changes before it. */
  #change(change: Change): Promise<void> {
    this.#shown ??= this.#progress();
    const isNext = this.#changes.empty;
    const made = this.#changes.push(change);
    if (isNext) this.#applyLocalChanges();
    this.#wake();
    this.#sendChanges();
    void this.#ahead.while(() => !this.#changes.empty);
    return made;
  }

  /** Sends the changes to the broker, if there is a connection. */
  #sendChanges(): void {
    if (!this.#open || this.#changes.empty) return;
    const send = this.#send;
    if (!send) this.reconnect();
    for (const { from, ...change } of send ? this.#changes.takeUnsent() : []) {
      send?.(JSON.stringify({ ...change, from: from === undefined ? from : fromText(from) }));
    }
  }

  #replied({ op, key, after, code, message }: Reply): void {
    const change = this.#changes.first;
    if (change?.key !== key) throw new Error(`A reply to no request: ${op} ${key}`);
    // From now on each frame contains a key.
    this.#only = undefined;
    // The broker no longer knows a stream that has ended meanwhile.
    const over = change.op === "unsubscribe" && this.#streams.get(key)?.status !== "active";
    // A stream without a position starts with its first event. The cursor has to say so, unless
    // that is the start position anyway.
    if (op === "subscribed")
      this.#addFirst(change, after ?? (isStart(change.from) ? undefined : ""));
    else if (op === "unsubscribed" || over) this.#dropFirst();
    else this.#changes.refused(code ?? "unexpected-answer", message ?? "Without a reason");
  }

  /** Completes the first change: follows its stream after this id. */
  #addFirst(change: Change, after: string | undefined): void {
    this.#follow(change, after ?? null);
    for (const cursor of [this.#cursor, this.#shown?.cursor])
      if (cursor) setPosition(cursor, { ...change, after });
    this.#shown?.statuses.set(change.key, "active");
    this.#shown?.reasons.set(change.key, null);
    this.#changes.made();
  }

  /** Completes the first change: drops its stream, or refuses that when it is not followed. */
  #dropFirst(): void {
    const key = this.#changes.first?.key ?? "";
    if (!this.#streams.delete(key)) {
      this.#changes.refused("not-subscribed", "The stream is not followed");
      return;
    }
    for (const cursor of [this.#cursor, this.#shown?.cursor]) cursor?.forget(key);
    this.#shown?.statuses.delete(key);
    this.#shown?.reasons.delete(key);
    this.#changes.made();
  }
}

/** Why the stream was finished. Null unless its last event says so. */
function reason({ status, lastData }: FollowedStream): StreamReason | null {
  const isKnown = status !== "active" && status !== "ended" && status !== "gone";
  return isKnown ? reasonOf(lastData) : null;
}

/** Puts the position of an added stream into the cursor. */
function setPosition(cursor: Cursor, { key, after }: Pick<Change, "key" | "after">): void {
  if (after === undefined) cursor.begin(key);
  else cursor.set(key, after);
}
