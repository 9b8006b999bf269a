import type { ApiError } from "../errors.js";
import { type Change, Changes } from "./changes.js";
import type { Answer, Connect, Signal } from "./connection.js";
import { Cursor } from "./cursor.js";
import { KeyedEvent, LAST_EVENTS, type RawEvent } from "./event.js";
import { Follower, type Wanted } from "./follower.js";
import { type MissedTotal, sumOf } from "./missed.js";
import { type FollowOptions, type From, isStart, textOf, withParameters } from "./options.js";
import { ReadAhead } from "./read-ahead.js";
import { Sequence } from "./sequence.js";

/** What streams to follow, and how. */
export interface SubscribeManyOptions extends FollowOptions {
  /** The keys of the streams. Those that the URL names, unless they are given. */
  keys?: readonly string[] | undefined;
  /**
   * Where to go on: a cursor, or an id for each of some keys. Streams that it does not name begin
   * where `from` says.
   */
  after?: string | Readonly<Record<string, string>> | null | undefined;
}

/** Where to begin in a stream that is added. */
export interface AddOptions {
  /** Start after this id, instead of where `from` says. */
  after?: string | null | undefined;
  /** Where to begin. As the subscription's other streams, unless it is given. */
  from?: From | undefined;
  /**
   * Wait for it if it does not exist yet. As for the subscription's other streams, unless it is
   * given.
   */
  wait?: boolean | undefined;
}

/**
 * How it is with a stream. `gone`: it is no longer stored, and its last event did not come. Null:
 * it is finished, and there was nothing after the id from which it was asked for.
 */
export type FollowedStatus = "active" | "ended" | "cancelled" | "gone" | null;

/** A stream that is followed. */
interface Followed {
  status: FollowedStatus;
  readonly sequence: Sequence;
  readonly from: From | undefined;
  readonly wait: boolean | undefined;
}

/** What is known of the streams when an event is handed out. */
interface Moment {
  readonly cursor: Cursor;
  readonly statuses: Map<string, FollowedStatus>;
}

/**
 * The events of several streams over one connection, to be iterated over once. It connects when the
 * first event is asked for, and is over when all of its streams are; without any it waits for one
 * to be added.
 */
export class ManySubscription extends Follower<KeyedEvent> {
  readonly #options: SubscribeManyOptions;
  readonly #url: URL;
  readonly #overWebSocket: boolean;
  readonly #streams = new Map<string, Followed>();
  readonly #cursor: Cursor;
  readonly #changes = new Changes();
  /** The change that the request for the connection asks for. */
  #joining: Change | undefined;
  /** Sends a request over the connection; undefined when it takes none, or is not open. */
  #send: ((request: string) => void) | undefined;
  #open = false;
  /** The stream of a connection whose frames do not say which they are of. */
  #only: string | undefined;
  #wake = () => {};
  /** Reads on while changes are awaited, so that who awaits one in the loop that reads gets it. */
  readonly #ahead = new ReadAhead<KeyedEvent>(() => super.next());
  /** Of events that were read ahead. */
  readonly #origins = new WeakMap<KeyedEvent, { stream: Followed; moment: Moment }>();
  /** As the reader has it, where more was read than was handed out. */
  #shown: Moment | undefined;

  /** For `subscribeMany`. */
  constructor(options: SubscribeManyOptions, url: URL, connect: Connect, overWebSocket: boolean) {
    super(options, connect);
    const { keys = url.searchParams.getAll("key"), after, from, wait, ...rest } = options;
    this.#options = options;
    this.#url = withParameters(url, rest);
    this.#overWebSocket = overWebSocket;
    this.#cursor = Cursor.of(after ?? "", keys);
    for (const key of keys) this.#follow({ key, from, wait }, this.#cursor.idOf(key));
  }

  /** How it is with each stream that was not dropped. */
  get statuses(): ReadonlyMap<string, FollowedStatus> {
    return (this.#shown ?? this.#moment()).statuses;
  }

  /**
   * The events that are missing so far, of all streams that were not dropped; null while none is.
   */
  get missed(): MissedTotal | null {
    return sumOf(Array.from(this.#streams.values(), ({ sequence }) => sequence.missed.total));
  }

  /**
   * Where another subscription goes on, over whichever transport: its `after`. Null where nothing
   * came yet.
   */
  get cursor(): string | null {
    return (this.#shown?.cursor ?? this.#cursor).toString() || null;
  }

  /**
   * Follows another stream, too. Throws a `RefusedError` when the broker refuses, and goes on
   * without it.
   *
   * Over WebSocket this is a message; over other transports another connection takes the place of
   * this one.
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

  /**
   * Follows a stream no longer, and forgets it. Throws a `RefusedError` when it is not followed.
   */
  drop(key: string): Promise<void> {
    return this.#change({ op: "unsubscribe", key });
  }

  override async next(): Promise<IteratorResult<KeyedEvent, undefined>> {
    for (;;) {
      const result = await this.#ahead.next();
      const origin = result.done ? undefined : this.#origins.get(result.value);
      this.#shown = origin?.moment ?? (this.#ahead.ahead ? this.#shown : undefined);
      // What was read ahead of a stream that was dropped since is not handed out.
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

  protected override wanted(signal: AbortSignal): Wanted | undefined | Promise<Wanted | undefined> {
    this.#send = undefined;
    this.#open = false;
    this.#changes.reset();
    this.#makeHere();
    const active = this.#active();
    // Over WebSocket streams are asked for one by one, once there is a connection.
    this.#joining = this.#overWebSocket && active.length > 0 ? undefined : this.#changes.first;
    const followed = active.map(([key, { from, wait }]) => ({ key, from, wait }));
    const streams = this.#joining ? [...followed, this.#joining] : followed;
    if (streams.length > 0) return this.#request(streams);
    if (this.over) return undefined;
    return new Promise<void>((resolve, reject) => {
      this.#wake = resolve;
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    }).then(() => this.wanted(signal));
  }

  protected override accept(signal: Signal): KeyedEvent | undefined {
    switch (signal.kind) {
      case "open":
        this.#opened(signal.send);
        break;
      case "event":
        return this.#take(signal.event);
      case "heartbeat":
        this.#placed();
        break;
      case "moved":
        if (this.#only === undefined) this.#cursor.take(signal.cursor);
        else this.#take({ id: signal.cursor });
        break;
      case "answer":
        this.#answered(signal.answer);
        break;
      case "over":
        for (const [, stream] of this.#active()) stream.status = null;
    }
    return undefined;
  }

  protected override spares(error: ApiError): boolean {
    if (!this.#joining) return false;
    this.#changes.refused(error.code, error.message, error);
    return true;
  }

  protected override closed(): void {
    this.#changes.close();
  }

  /** Makes those of the first changes that the broker need not be told of. */
  #makeHere(): void {
    for (let change = this.#changes.first; change; change = this.#changes.first) {
      const active = this.#streams.get(change.key)?.status === "active";
      if (change.op === "unsubscribe" && !(active && this.#open)) this.#dropFirst();
      else if (change.op === "subscribe" && active)
        this.#changes.refused("already-subscribed", "The stream is followed already");
      else return;
    }
  }

  #active(): [string, Followed][] {
    return [...this.#streams].filter(([, { status }]) => status === "active");
  }

  #moment(): Moment {
    const statuses = new Map(Array.from(this.#streams, ([key, { status }]) => [key, status]));
    return { cursor: this.#cursor.copy(), statuses };
  }

  /** Follows a stream after this id; null at its beginning; undefined where the id is not known. */
  #follow(
    { key, from, wait }: Pick<Change, "key" | "from" | "wait">,
    after: string | null | undefined,
  ): void {
    const known = after || (isStart(from) ? after : undefined);
    const sequence = new Sequence(known, this.#options.events !== undefined);
    this.#streams.set(key, { status: "active", sequence, from, wait });
  }

  /** A request for these streams, each from where it is, or from where it is to begin. */
  #request(streams: readonly Omit<Change, "op">[]): Wanted {
    const url = new URL(this.#url);
    url.searchParams.delete("key");
    for (const { key } of streams) url.searchParams.append("key", key);
    if (streams.some(({ wait }) => wait)) url.searchParams.set("wait", "true");
    const cursor = this.#cursor.copy();
    if (this.#joining) place(cursor, this.#joining);
    // There is one `from` for the connection. Streams that are to begin elsewhere begin at the
    // start, as then nothing is missed.
    const [lacking, unsure] = [
      streams.filter(({ key }) => cursor.lacks(key)),
      streams.filter(({ key }) => !cursor.names(key)),
    ];
    const from = [...lacking, ...unsure].find(({ from }) => !isStart(from))?.from;
    if (from !== undefined) url.searchParams.set("from", textOf(from));
    for (const stream of lacking) {
      if (from !== undefined && textOf(stream.from ?? "start") !== textOf(from))
        cursor.set(stream.key, "");
    }
    this.#only = streams.length === 1 ? streams[0]?.key : undefined;
    const atOnce = this.#joining !== undefined || (from !== undefined && lacking.length > 0);
    return { url, after: cursor.toString() || undefined, atOnce };
  }

  #opened(send: ((request: string) => void) | undefined): void {
    this.#open = true;
    this.#send = send;
    if (this.#joining) this.#addFirst(this.#joining, this.#joining.after);
    this.#joining = undefined;
    this.#tell();
  }

  #take(raw: RawEvent): KeyedEvent | undefined {
    const { key = this.#only, id, event, cursor } = raw;
    const stream = this.#streams.get(key ?? "");
    if (key === undefined || stream?.status !== "active") return undefined;
    if (event === undefined) {
      if (id) stream.sequence.move(id);
      this.#moved(key, id, cursor);
      return undefined;
    }
    const taken = new KeyedEvent(key, stream.sequence.accept({ ...raw, event }));
    stream.status =
      taken.missed && taken.missed.first === null ? "gone" : (LAST_EVENTS.get(event) ?? "active");
    this.#moved(key, taken.id, cursor);
    if (stream.status !== "active") this.#cursor.complete(key);
    if (this.#ahead.ahead || !this.#changes.empty)
      this.#origins.set(taken, { stream, moment: this.#moment() });
    return taken;
  }

  /**
   * Streams that are there are begun with a position, unless that is the start. So without one they
   * begin with their first event.
   */
  #placed(): void {
    for (const [key, { from }] of this.#active()) {
      if (!isStart(from) && this.#cursor.lacks(key)) this.#cursor.set(key, "");
    }
  }

  #moved(key: string, id: string | null | undefined, cursor: string | undefined): void {
    if (cursor !== undefined) this.#cursor.take(cursor);
    else if (id) this.#cursor.set(key, id);
  }

  /** Makes a change, as soon as those before it are made. */
  #change(change: Change): Promise<void> {
    this.#shown ??= this.#moment();
    const next = this.#changes.empty;
    const made = this.#changes.push(change);
    if (next) this.#makeHere();
    this.#wake();
    this.#tell();
    void this.#ahead.while(() => !this.#changes.empty);
    return made;
  }

  /** Tells the broker of changes, if there is a connection. */
  #tell(): void {
    if (!this.#open || this.#changes.empty) return;
    const send = this.#send;
    if (!send) this.reconnect();
    for (const { from, ...change } of send ? this.#changes.untold() : []) {
      send?.(JSON.stringify({ ...change, from: from === undefined ? from : textOf(from) }));
    }
  }

  #answered({ op, key, after, code, message }: Answer): void {
    const change = this.#changes.first;
    if (change?.key !== key) throw new Error(`An answer to what was not asked: ${op} ${key}`);
    // From now on frames say which stream they are of.
    this.#only = undefined;
    // What has ended meanwhile is known to the broker no more.
    const over = change.op === "unsubscribe" && this.#streams.get(key)?.status !== "active";
    // Without a position it begins with its first event, which is for the cursor to say unless that
    // is so anyway.
    if (op === "subscribed")
      this.#addFirst(change, after ?? (isStart(change.from) ? undefined : ""));
    else if (op === "unsubscribed" || over) this.#dropFirst();
    else this.#changes.refused(code ?? "unexpected-answer", message ?? "Without a reason");
  }

  /** The first change is made: a stream is followed, after this id. */
  #addFirst(change: Change, after: string | undefined): void {
    this.#follow(change, after ?? null);
    for (const cursor of [this.#cursor, this.#shown?.cursor])
      if (cursor) place(cursor, { ...change, after });
    this.#shown?.statuses.set(change.key, "active");
    this.#changes.made();
  }

  /** The first change is made, or can't be: a stream is followed no longer. */
  #dropFirst(): void {
    const key = this.#changes.first?.key ?? "";
    if (!this.#streams.delete(key)) {
      this.#changes.refused("not-subscribed", "The stream is not followed");
      return;
    }
    for (const cursor of [this.#cursor, this.#shown?.cursor]) cursor?.forget(key);
    this.#shown?.statuses.delete(key);
    this.#changes.made();
  }
}

/** Where a stream is when it is added. */
function place(cursor: Cursor, { key, after }: Pick<Change, "key" | "after">): void {
  if (after === undefined) cursor.begin(key);
  else cursor.set(key, after);
}
