import { Backoff } from "../backoff.js";
import { asyncDispose } from "../dispose.js";
import { ApiError, SubscribeError } from "../errors.js";
import { leastDelay } from "../http.js";
import { logTo } from "../log.js";
import { notify } from "../notify.js";
import { linked, sleep } from "../timeout.js";
import type { Attempt, Received } from "./connection.js";
import { ConnectionReporter } from "./connection-reporter.js";
import type { Credentials } from "./credentials.js";
import type { FollowOptions } from "./options.js";
import type { SubscribeRequest } from "./request.js";
import { sendSignal } from "./signal.js";
import type { Endpoint } from "./transport.js";

/** The retry delay in milliseconds until the broker sends one. */
const DEFAULT_RETRY = 1_000;
/** The longest retry delay in milliseconds, unless the broker asks for a longer one. */
const MAX_RETRY = 30_000;
/** How many seconds the broker may hold back the response to a poll. This is its own default. */
const MAX_POLL = 25;

/**
 * Follows streams: connects, and connects again after a break, until there is nothing to follow. A
 * subclass decides what to request, and makes items of what a connection delivers.
 */
export abstract class Follower<Item>
  implements AsyncIterableIterator<Item, undefined, void>, AsyncDisposable
{
  readonly #options: FollowOptions;
  readonly #credentials: Credentials;
  readonly #fetch: typeof globalThis.fetch;
  readonly #reporter: ConnectionReporter;
  readonly #leaving = new AbortController();
  #left = false;
  #connection = new AbortController();
  readonly #items: AsyncGenerator<Item, undefined, void>;

  constructor(options: FollowOptions, credentials: Credentials) {
    this.#options = options;
    this.#credentials = credentials;
    this.#fetch = options.fetch ?? ((...request) => globalThis.fetch(...request));
    this.#reporter = new ConnectionReporter(options.onConnection, logTo(options.onLog));
    this.#items = this.#run();
  }

  /**
   * Takes over the URL. Called before the first request, and by constructors that know the URL: the
   * second call changes nothing.
   */
  protected abstract located(endpoint: Endpoint): void;
  /**
   * The request of the next connection. A promise waits until there is something to request.
   * Undefined ends the iteration.
   */
  protected abstract request(
    signal: AbortSignal,
  ): SubscribeRequest | undefined | Promise<SubscribeRequest | undefined>;
  /** Takes what a connection delivered. Returns the item to hand out, if any. */
  protected abstract accept(received: Received): Item | undefined;
  /** Whether there is nothing more to follow. */
  protected abstract get over(): boolean;
  /** Whether the subscription can go on after this refusal. */
  protected abstract toleratesRefusal(error: ApiError): boolean;
  /** Called when the iteration is over, for any reason. */
  protected abstract closed(): void;

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Item, undefined>> {
    return this.#items.next();
  }

  /**
   * Ends the iteration, also while a caller waits for an event, and closes the connection at once.
   * Leaving a `for await` loop calls it.
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

  /** Closes the connection and makes another one, because the request has changed. */
  protected reconnect(): void {
    this.#connection.abort();
  }

  /** Sends a signal to the producer of a stream: of the only one, unless there is a key. */
  protected signalTo(key: string | undefined, name: string, data?: unknown): Promise<number> {
    return sendSignal(this.#credentials, this.#fetch, key, name, data);
  }

  async *#run(): AsyncGenerator<Item, undefined, void> {
    const { signal } = this.#options;
    let failure: unknown = null;
    const abort = () => this.#leaving.abort(signal?.reason);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort);
    try {
      yield* this.#follow(this.#leaving.signal);
    } catch (error) {
      if (!this.#left) {
        // The caller may have left the subscription by its signal. That is no failure.
        if (!signal?.aborted) failure = error;
        throw error;
      }
    } finally {
      this.#reporter.change("closed", failure);
      this.#leaving.abort();
      signal?.removeEventListener("abort", abort);
      this.closed();
    }
    return undefined;
  }

  /** Connects until there is nothing more to follow. */
  async *#follow(signal: AbortSignal): AsyncGenerator<Item, void, void> {
    const { silenceMs = 45_000, giveUpAfterMs = 300_000 } = this.#options;
    let giveUpAt = performance.now() + giveUpAfterMs;
    const postponeGiveUp = () => {
      giveUpAt = performance.now() + giveUpAfterMs;
    };
    const remaining = () => Math.max(0, giveUpAt - performance.now());
    // The response to a poll is a sign of activity even without an event.
    const pollSeconds = Math.max(
      1,
      Math.floor(Math.min(MAX_POLL, silenceMs / 1_000, giveUpAfterMs / 2_000)),
    );
    const backoff = new Backoff(DEFAULT_RETRY, MAX_RETRY);
    const credentials = this.#credentials;
    if (!credentials.endpoint) await credentials.get(signal);
    const endpoint = credentials.endpoint as Endpoint;
    this.located(endpoint);

    for (;;) {
      const pending = this.request(signal);
      // The time without a request is not a silence of the broker.
      const request = pending instanceof Promise ? await pending.finally(postponeGiveUp) : pending;
      if (!request) return;
      this.#reporter.change("connecting");
      const grant = await credentials.get(signal);
      const { isNew } = grant;
      grant.isNew = false;
      const { controller, unlink } = linked(signal);
      this.#connection = controller;
      const { url, after, respondAtOnce } = request;
      const attempt: Attempt = {
        url,
        after,
        token: grant.token,
        signal: controller.signal,
        fetch: this.#fetch,
        WebSocket: this.#options.WebSocket,
        tokenInQuery: this.#options.tokenInQuery ?? false,
        pollSeconds: respondAtOnce ? 0 : pollSeconds,
        timeout: (extra = 0) => Math.min(silenceMs + extra, remaining()),
      };
      try {
        yield* this.#receive(endpoint.connect(attempt), attempt.signal, backoff, postponeGiveUp);
        if (this.over) return;
      } catch (error) {
        signal.throwIfAborted();
        if (controller.signal.aborted) continue;
        if (error instanceof SubscribeError) throw error;
        if (error instanceof ApiError && error.status === 401) {
          if (isNew || !credentials.renew(grant)) throw error;
          continue;
        }
        const least = leastDelay(error);
        if (least === undefined) {
          if (this.toleratesRefusal(error as ApiError)) continue;
          throw error;
        }
        const delay = Math.max(least, backoff.delay());
        notify(this.#options.onReconnect, error);
        const pause = Math.min(delay, remaining());
        this.#reporter.change("waiting", error, Math.round(pause));
        await sleep(pause, signal);
        if (pause < delay) {
          throw new SubscribeError(
            "disconnected",
            `Nothing was received from the broker for ${giveUpAfterMs / 1000} s`,
            error,
          );
        }
      } finally {
        unlink();
      }
    }
  }

  /** Hands out what one connection delivers, until it ends or another one is needed. */
  async *#receive(
    connection: AsyncIterable<Received>,
    signal: AbortSignal,
    backoff: Backoff,
    postponeGiveUp: () => void,
  ): AsyncGenerator<Item, void, void> {
    for await (const received of connection) {
      // The next connection requests again what this one delivered after the abort.
      signal.throwIfAborted();
      postponeGiveUp();
      if (received.kind === "retry") backoff.first = received.milliseconds;
      if (received.kind === "frame") {
        backoff.reset();
        this.#reporter.eventCame = true;
      }
      if (received.kind === "open") {
        this.#reporter.change("open");
        notify(this.#options.onConnect, undefined);
      }
      const item = this.accept(received);
      if (item !== undefined) {
        yield item;
        // The time that the reader took is not a silence of the broker.
        postponeGiveUp();
      }
      if (this.over || received.kind === "over" || received.kind === "again") return;
    }
    throw new Error("A connection ended without saying why");
  }
}
