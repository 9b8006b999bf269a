// Tabs of a browser, in one process: Web Locks, and channels that lose messages.

import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { type SharedSubscribeOptions, subscribeShared } from "tinistreamer/shared-tabs";
import type { StreamEvent, Subscription } from "tinistreamer/subscribe";
import { startBroker, streamUrls, until } from "./support.js";

type Callback = () => Promise<void>;
interface Held {
  reject: (error: unknown) => void;
}
interface Waiting {
  start: () => void;
  signal: AbortSignal | undefined;
}

/** Web Locks as the standard describes them, as far as the library uses them. */
export class FakeLocks {
  readonly #held = new Map<string, Held>();
  readonly #waiting = new Map<string, Waiting[]>();
  /** Set when the platform refuses locks. */
  refusal: Error | undefined;
  steals = 0;
  /** Whether a lock can be stolen. Otherwise a thief waits forever. */
  canSteal = true;

  /** How many locks are held or wanted. */
  get inUse(): number {
    return this.#held.size + [...this.#waiting.values()].flat().length;
  }

  get names(): string[] {
    return [...this.#held.keys()];
  }

  request(
    name: string,
    { steal, signal }: { steal?: boolean; signal?: AbortSignal },
    callback: Callback,
  ): Promise<void> {
    if (steal && signal) return Promise.reject(new TypeError("steal and signal"));
    return new Promise((resolve, reject) => {
      if (this.refusal) return reject(this.refusal);
      const start = () => {
        const held = { reject };
        this.#held.set(name, held);
        setImmediate(() => {
          callback()
            .then(resolve, reject)
            .finally(() => {
              if (this.#held.get(name) !== held) return;
              this.#held.delete(name);
              this.#next(name);
            });
        });
      };
      if (steal) {
        this.steals += 1;
        if (!this.canSteal) return;
        this.#held.get(name)?.reject(new DOMException("Stolen", "AbortError"));
        return start();
      }
      const waiting = this.#waiting.get(name) ?? [];
      this.#waiting.set(name, waiting);
      const entry = { start, signal };
      waiting.push(entry);
      signal?.addEventListener("abort", () => {
        const at = waiting.indexOf(entry);
        if (at < 0) return;
        waiting.splice(at, 1);
        reject(signal.reason);
      });
      this.#next(name);
    });
  }

  #next(name: string): void {
    if (!this.#held.has(name)) this.#waiting.get(name)?.shift()?.start();
  }
}

/** What a message contains, as far as tests look at it. */
export interface Sent {
  kind: string;
  from: string;
  position?: string | null;
  step?: { event: StreamEvent | null };
}

/** The channels between the tabs. */
export class FakeChannels {
  readonly open = new Set<{
    name: string;
    onmessage: ((event: { data: unknown }) => void) | null;
  }>();
  sent: Sent[] = [];
  /** Whether a message does not reach one of the tabs. */
  lose: (message: Sent, receiver: number) => boolean = () => false;

  constructor() {
    globalThis.BroadcastChannel = this.#channelClass();
  }

  #channelClass() {
    const channels = this;
    class Channel {
      onmessage: ((event: { data: unknown }) => void) | null = null;
      constructor(readonly name: string) {
        channels.open.add(this);
      }
      postMessage(message: Sent) {
        channels.sent.push(message);
        for (const [number, channel] of [...channels.open].entries()) {
          if (channel === this || channel.name !== this.name) continue;
          const data = structuredClone(message);
          if (!channels.lose(data, number)) setImmediate(() => channel.onmessage?.({ data }));
        }
      }
      close() {
        channels.open.delete(this);
      }
    }
    return Channel as unknown as typeof BroadcastChannel;
  }
}

/** A browser that has both. */
export function fakeBrowser(t: TestContext) {
  const { navigator, BroadcastChannel } = globalThis as { navigator?: unknown } & typeof globalThis;
  const locks = new FakeLocks();
  const channels = new FakeChannels();
  Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true });
  t.after(() => {
    Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
    globalThis.BroadcastChannel = BroadcastChannel;
  });
  return { locks, channels };
}

/** A reader of a subscription. It keeps what came. */
export class Reader {
  readonly seen: StreamEvent[] = [];
  over = false;
  error: unknown;
  /** The states of the connection, and the log. */
  readonly states: string[] = [];
  readonly log: string[] = [];
  /** Called before the next event is requested. A reader that waits is slow. */
  pace: () => Promise<void> | void = () => {};

  constructor(readonly events: Subscription) {
    void this.#read();
  }

  get numbers(): number[] {
    return this.seen.map(({ id }) => Number(id?.split("-")[1]));
  }

  /** Waits until the event with this number came. */
  async has(number: number): Promise<void> {
    await until(
      () => this.error || this.numbers.at(-1) === number,
      () => `event ${number} of ${this.numbers.slice(-3)}: ${this.log.slice(-20).join("; ")}`,
    );
    if (this.error) throw this.error;
  }

  async ends(): Promise<void> {
    await until(
      () => this.over,
      () => `the end after ${this.numbers.at(-1)}`,
    );
    if (this.error) throw this.error;
  }

  async #read(): Promise<void> {
    try {
      for (;;) {
        await this.pace();
        const { done, value } = await this.events.next();
        if (done) break;
        this.seen.push(value);
      }
    } catch (error) {
      this.error = error;
    }
    this.over = true;
  }
}

/** Short, because the tabs of a test are not busy. */
const TAB_SILENCE = 400;

export const range = (first: number, end: number) =>
  Array.from({ length: end - first }, (_, number) => first + number);

/** A stream at a real broker, and tabs that follow it. */
export async function startTabs(t: TestContext, streamOptions: object = {}) {
  const browser = fakeBrowser(t);
  // The broker notices with a heartbeat that a subscriber has left.
  const { client, broker, url } = await startBroker(t, { STREAMER_HEARTBEAT: "1" });
  const permissions = ["read", "signal"] as ("read" | "signal")[];
  const { token } = await client.createStream("k", { permissions, ...streamOptions });
  const urls = streamUrls(url, "k");
  const open = (more: Partial<SharedSubscribeOptions> = {}) => {
    const options = { url: urls.sse, token, shareTabs: "alice", tabSilenceMs: TAB_SILENCE };
    const reader: Reader = new Reader(
      subscribeShared({
        ...options,
        onConnection: ({ state }) => reader.states.push(state),
        onLog: ({ message }) => reader.log.push(message),
        ...more,
      }),
    );
    t.after(() => reader.events.return());
    return reader;
  };
  let next = 1;
  /** Adds events, each with its number as the data. */
  const add = async (count: number, nameOf = (_number: number) => "token") => {
    const events = range(next, next + count).map((number) => ({
      event: nameOf(number),
      data: `${number} `,
    }));
    next += count;
    await client.addEvents("k", events);
  };
  const connections = async (count: number): Promise<void> => {
    await until(
      async () => (await broker.connectionsInUse()) === count,
      () => `${count} connections`,
    );
  };
  /** Waits until these tabs share one connection. */
  const share = async (readers: Reader[]) => {
    await until(() => readers.every(({ states }) => states.includes("open")), "all are admitted");
    await connections(1);
  };
  return { ...browser, share, client, broker, url, urls, token, open, add, connections };
}

/** The whole stream, each event once. */
export function assertWhole(readers: Reader[], end: number): void {
  for (const reader of readers) assert.deepEqual(reader.numbers, range(0, end));
}
