import { asyncDispose } from "../dispose.js";
import { ApiError, SubscribeError } from "../errors.js";
import { isRetryable } from "../http.js";
import { backoff, linked, sleep, within } from "../timing.js";
import type { Attempt, Connect, Signal } from "./connection.js";
import type { FollowOptions } from "./options.js";

/** Milliseconds between connections until the broker says how many. */
const DEFAULT_RETRY = 1_000;
/** Milliseconds between connections at the most, unless the broker asks for more. */
const MAX_RETRY = 30_000;
/**
 * For how many seconds to let the broker hold back the answer to a long poll at the most; it is its
 * own default.
 */
const MAX_POLL = 25;

/** What a connection is to bring. */
export interface Wanted {
  url: URL;
  after: string | undefined;
  /**
   * Whether the first word of the broker is awaited more than events are: a poll is then answered
   * at once.
   */
  atOnce: boolean;
}

/**
 * Follows streams over as many connections as it takes. What comes over them is for who extends it
 * to understand.
 */
export abstract class Follower<Item>
  implements AsyncIterableIterator<Item, undefined, void>, AsyncDisposable
{
  readonly #options: FollowOptions;
  readonly #connect: Connect;
  readonly #leaving = new AbortController();
  #left = false;
  #connection = new AbortController();
  readonly #items: AsyncGenerator<Item, undefined, void>;

  constructor(options: FollowOptions, connect: Connect) {
    this.#options = options;
    this.#connect = connect;
    this.#items = this.#run();
  }

  /**
   * What the next connection is to bring, later if there is nothing to ask for yet; undefined when
   * there will be nothing.
   */
  protected abstract wanted(signal: AbortSignal): Wanted | undefined | Promise<Wanted | undefined>;
  /** Takes what a connection has brought in; returns what is to be handed out. */
  protected abstract accept(signal: Signal): Item | undefined;
  /** Whether there is nothing more to follow. */
  protected abstract get over(): boolean;
  /** Whether it can do without what the broker refused by this error. */
  protected abstract spares(error: ApiError): boolean;
  /** Called when the iteration is over, in whichever way. */
  protected abstract closed(): void;

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Item, undefined>> {
    return this.#items.next();
  }

  /**
   * Ends the iteration, also while an event is awaited, and closes the connection at once. Leaving
   * a `for await` loop calls it.
   */
  async return(): Promise<IteratorResult<Item, undefined>> {
    this.#left = true;
    this.#leaving.abort();
    return this.#items.return(undefined);
  }

  /** The same as `return`. */
  async [asyncDispose](): Promise<void> {
    await this.return();
  }

  /** Gives the connection up for another, as something else is wanted now. */
  protected reconnect(): void {
    this.#connection.abort();
  }

  async *#run(): AsyncGenerator<Item, undefined, void> {
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
      this.closed();
    }
    return undefined;
  }

  /** Connects until everything is over. */
  async *#follow(signal: AbortSignal): AsyncGenerator<Item, void, void> {
    const { silenceMs = 45_000, giveUpAfterMs = 300_000 } = this.#options;
    let giveUpAt = performance.now() + giveUpAfterMs;
    const heard = () => {
      giveUpAt = performance.now() + giveUpAfterMs;
    };
    const remaining = () => Math.max(0, giveUpAt - performance.now());
    // The answer to a poll is a sign of life also without an event.
    const pollSeconds = Math.max(
      1,
      Math.floor(Math.min(MAX_POLL, silenceMs / 1_000, giveUpAfterMs / 2_000)),
    );
    const pace = new Pace();
    let token: string | undefined;

    for (;;) {
      const wanting = this.wanted(signal);
      // A broker that is not asked for anything is not silent.
      const wanted = wanting instanceof Promise ? await wanting.finally(heard) : wanting;
      if (!wanted) return;
      const tokenIsNew = token === undefined;
      token ??= await this.#makeToken(signal);
      const { controller, unlink } = linked(signal);
      this.#connection = controller;
      const { atOnce, ...request } = wanted;
      const attempt: Attempt = {
        ...request,
        token,
        signal: controller.signal,
        fetch: this.#options.fetch ?? ((...request) => globalThis.fetch(...request)),
        WebSocket: this.#options.WebSocket,
        tokenInQuery: this.#options.tokenInQuery ?? false,
        pollSeconds: atOnce ? 0 : pollSeconds,
        patience: (more = 0) => Math.min(silenceMs + more, remaining()),
      };
      try {
        yield* this.#receive(attempt, pace, heard);
        if (this.over) return;
      } catch (error) {
        signal.throwIfAborted();
        if (controller.signal.aborted) continue;
        if (error instanceof SubscribeError) throw error;
        if (error instanceof ApiError && error.status === 401) {
          if (tokenIsNew || typeof this.#options.token === "string") throw error;
          token = undefined;
          continue;
        }
        if (error instanceof ApiError && !isRetryable(error.status)) {
          if (this.spares(error)) continue;
          throw error;
        }
        const wait = pace.failed(error);
        notify(this.#options.onReconnect, error);
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
      } finally {
        unlink();
      }
    }
  }

  /** Hands out what one connection brings, until it is over or to be made again. */
  async *#receive(
    attempt: Attempt,
    pace: Pace,
    heard: () => void,
  ): AsyncGenerator<Item, void, void> {
    for await (const signal of this.#connect(attempt)) {
      // What it has brought since is asked for again.
      attempt.signal.throwIfAborted();
      heard();
      if (signal.kind === "retry") pace.first = signal.milliseconds;
      if (signal.kind === "event") pace.arrived();
      if (signal.kind === "open") notify(this.#options.onConnect, undefined);
      const item = this.accept(signal);
      if (item !== undefined) {
        yield item;
        // The time that the reader took is no silence of the broker.
        heard();
      }
      if (this.over || signal.kind === "over" || signal.kind === "again") return;
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

/**
 * Calls a listener apart from the iteration: what the listener throws is no failure of the
 * connection.
 */
function notify<T>(listener: ((about: T) => void) | undefined, about: T): void {
  if (listener) queueMicrotask(() => listener(about));
}

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
