import { asyncDispose } from "../dispose.js";
import { ApiError, SubscribeError } from "../errors.js";
import { isRetryable } from "../http.js";
import { backoff, sleep, within } from "../timing.js";
import type { WebSocketConstructor } from "../websocket.js";
import type { Attempt, Connect } from "./connection.js";
import { Sequence, type StreamEvent } from "./event.js";

/** Milliseconds between connections until the broker says how many. */
const DEFAULT_RETRY = 1_000;
/** Milliseconds between connections at the most, unless the broker asks for more. */
const MAX_RETRY = 30_000;

/** A token, or a function that makes one: it is asked before the first connection, and when a token is no longer good. */
export type Token = string | (() => string | Promise<string>);

/** What to follow, and how. */
export interface SubscribeOptions {
  /** The `sse_url` or `ws_url` that the broker gave; its path says which transport it is. */
  url: string | URL;
  /** What opens the stream. */
  token: Token;
  /** Start after this id, instead of with the first event. */
  after?: string | null | undefined;
  /** Aborting it ends the iteration with its reason, and closes the connection at once. */
  signal?: AbortSignal | undefined;
  /** Milliseconds without a sign of life after which a connection counts as broken. 45,000. */
  silenceMs?: number | undefined;
  /** Milliseconds without an event or a heartbeat after which the subscription fails with `disconnected`. 300,000. */
  giveUpAfterMs?: number | undefined;
  /** Instead of the platform's `fetch`. */
  fetch?: typeof globalThis.fetch | undefined;
  /** Instead of the platform's `WebSocket`, for a `ws_url`. */
  WebSocket?: WebSocketConstructor | undefined;
  /**
   * Put the token of a WebSocket into its URL. Not needed where a WebSocket takes headers (Node, Deno, Bun) or refuses them
   * (browsers), only where it ignores them (React Native).
   */
  tokenInQuery?: boolean | undefined;
}

/** The events of a stream, to be iterated over once. It connects when the first event is asked for. */
export class Subscription implements AsyncIterableIterator<StreamEvent, undefined, void>, AsyncDisposable {
  /** How the stream was finished; null until its last event was handed out. */
  status: "ended" | "cancelled" | null = null;
  /** The id of the last event handed out, or that after which the subscription started. */
  lastId: string | null;

  readonly #options: SubscribeOptions;
  readonly #url: URL;
  readonly #connect: Connect;
  readonly #sequence: Sequence;
  readonly #leaving = new AbortController();
  #left = false;
  readonly #events: AsyncGenerator<StreamEvent, undefined, void>;

  /** For `subscribe`. */
  constructor(options: SubscribeOptions, url: URL, connect: Connect) {
    this.#options = options;
    this.#url = url;
    this.#connect = connect;
    this.lastId = options.after ?? null;
    this.#sequence = new Sequence(this.lastId ?? undefined);
    this.#events = this.#run();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<StreamEvent, undefined>> {
    return this.#events.next();
  }

  /** Ends the iteration, also while an event is awaited, and closes the connection at once. Leaving a `for await` loop calls it. */
  async return(): Promise<IteratorResult<StreamEvent, undefined>> {
    this.#left = true;
    this.#leaving.abort();
    return this.#events.return(undefined);
  }

  /** The same as `return`. */
  async [asyncDispose](): Promise<void> {
    await this.return();
  }

  async *#run(): AsyncGenerator<StreamEvent, undefined, void> {
    const { signal } = this.#options;
    const abort = () => this.#leaving.abort(signal?.reason);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort);
    try {
      yield* this.#follow(this.#leaving.signal);
    } catch (error) {
      if (!this.#left) throw error;
    } finally {
      this.#leaving.abort();
      signal?.removeEventListener("abort", abort);
    }
    return undefined;
  }

  /** Connects until the stream is over. */
  async *#follow(signal: AbortSignal): AsyncGenerator<StreamEvent, void, void> {
    const { silenceMs = 45_000, giveUpAfterMs = 300_000 } = this.#options;
    let giveUpAt = performance.now() + giveUpAfterMs;
    const heard = () => {
      giveUpAt = performance.now() + giveUpAfterMs;
    };
    const remaining = () => Math.max(0, giveUpAt - performance.now());
    const pace = new Pace();
    let token: string | undefined;

    for (;;) {
      const tokenIsNew = token === undefined;
      token ??= await this.#makeToken(signal);
      const attempt: Attempt = {
        url: this.#url,
        token,
        after: this.lastId ?? undefined,
        signal,
        fetch: this.#options.fetch ?? ((...request) => globalThis.fetch(...request)),
        WebSocket: this.#options.WebSocket,
        tokenInQuery: this.#options.tokenInQuery ?? false,
        patience: () => Math.min(silenceMs, remaining()),
      };
      try {
        if ((yield* this.#receive(attempt, pace, heard)) === "over") return;
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof SubscribeError) throw error;
        if (error instanceof ApiError && error.status === 401) {
          if (tokenIsNew || typeof this.#options.token === "string") throw error;
          token = undefined;
          continue;
        }
        if (error instanceof ApiError && !isRetryable(error.status)) throw error;
        const wait = pace.failed(error);
        if (wait < remaining()) {
          await sleep(wait, signal);
        } else {
          await sleep(remaining(), signal);
          throw new SubscribeError(
            "disconnected",
            `Nothing was heard of the broker for ${giveUpAfterMs / 1000} s`,
            error,
          );
        }
      }
    }
  }

  /** Hands out what one connection brings. */
  async *#receive(
    attempt: Attempt,
    pace: Pace,
    heard: () => void,
  ): AsyncGenerator<StreamEvent, "over" | "again", void> {
    for await (const signal of this.#connect(attempt)) {
      heard();
      switch (signal.kind) {
        case "over":
        case "again":
          return signal.kind;
        case "retry":
          pace.first = signal.milliseconds;
          break;
        case "event": {
          const event = this.#sequence.accept(signal.event);
          pace.arrived();
          if (event.id !== null) this.lastId = event.id;
          this.status = LAST_EVENTS.get(event.event) ?? null;
          yield event;
          if (this.status) return "over";
          // The time that the reader took is no silence of the broker.
          heard();
        }
      }
    }
    throw new Error("A connection ended without saying why");
  }

  async #makeToken(signal: AbortSignal): Promise<string> {
    const { token } = this.#options;
    if (typeof token === "string") return token;
    return within(Number.POSITIVE_INFINITY, signal, (resolve, reject) => {
      Promise.resolve().then(token).then(resolve, reject);
    });
  }
}

/** How a stream was finished whose last event has this name. */
const LAST_EVENTS: ReadonlyMap<string, "ended" | "cancelled"> = new Map([
  ["end", "ended"],
  ["cancel", "cancelled"],
]);

/** How long to wait between connections. */
class Pace {
  /** Milliseconds to wait after the first failure in a row. */
  first = DEFAULT_RETRY;
  #failures = 0;

  /** An event came, which ends the row of failures. */
  arrived(): void {
    this.#failures = 0;
  }

  /** Milliseconds to wait after this failure. */
  failed(error: unknown): number {
    this.#failures += 1;
    const least = error instanceof ApiError ? (error.retryAfter ?? 0) * 1000 : 0;
    return Math.max(least, backoff(this.first, MAX_RETRY, this.#failures));
  }
}
