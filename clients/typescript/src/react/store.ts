import type { SharedSubscribeOptions } from "../shared-tabs/options.js";
import { subscribeShared } from "../shared-tabs.js";
import type { ConnectionChange } from "../subscribe/connection-reporter.js";
import { POSSIBLE_LAST_EVENTS, type StreamEvent } from "../subscribe/event.js";
import { failureError } from "../subscribe/failure.js";
import { MissedCounter, type MissedTotal, missedError } from "../subscribe/missed.js";
import type { Token, TokenAccess } from "../subscribe/options.js";
import { reasonOf, type StreamReason } from "../subscribe/reason.js";
import type { SubscribeOptions, Subscription } from "../subscribe/subscription.js";
import { subscribe } from "../subscribe.js";

/**
 * The status of a stream.
 *
 * * `idle`: there is no access yet, or no URL or no token.
 * * `connecting`: no event came yet.
 * * `streaming`: events came.
 * * `reconnecting`: the connection broke or could not be made, and another will be tried. `error`
 *   says why.
 * * `ended` and `cancelled`: how the stream was finished.
 * * `complete`: nothing followed the id that the hook continued after.
 * * `stopped`: by `disconnect`.
 * * `failed`: `error` says why. It is a `SubscribeError` `stream-failed` or `stream-abandoned` when
 *   the stream's producer failed or went silent.
 */
export type StreamStatus =
  | "idle"
  | "connecting"
  | "streaming"
  | "reconnecting"
  | "ended"
  | "cancelled"
  | "complete"
  | "stopped"
  | "failed";

/** The state of a stream at one time. */
export interface StreamSnapshot {
  /** All events so far. */
  readonly events: readonly StreamEvent[];
  /** The text so far. */
  readonly text: string;
  readonly status: StreamStatus;
  /** What the last event says about the end of the stream. Null while it is not finished. */
  readonly reason: StreamReason | null;
  /** How many events are missing so far. Null while none is. */
  readonly missed: MissedTotal | null;
  /** Why it failed, or why another connection is needed. Otherwise null. */
  readonly error: unknown;
}

/**
 * How to follow a stream. Options that may change without a restart are read when they are needed.
 */
export interface StoreOptions
  extends Omit<SubscribeOptions, "url" | "token" | "access" | "after" | "signal">,
    Pick<SharedSubscribeOptions, "tabSilenceMs"> {
  /**
   * Shares one connection with the other tabs of the browser that follow the stream with the same
   * name here. Put the user's id into it, because these tabs receive the same events. Each tab has
   * its own connection while the name is null or undefined.
   */
  shareTabs?: string | null | undefined;
  token?: Token | null | undefined;
  /**
   * Stands for the URL and the token: what `createStream` or `issueToken` returned, or a function
   * that gets it, for example from your backend.
   */
  access?: TokenAccess | (() => TokenAccess | Promise<TokenAccess>) | null | undefined;
  /**
   * The name of the events whose data make up the text, or a function that returns an event's part
   * of it. `token`.
   */
  textOf?: string | ((event: StreamEvent) => string) | undefined;
  /**
   * Go on with the remaining text when events are no longer stored. Otherwise the status becomes
   * `failed`, and `error` is a `SubscribeError` `missed`. False.
   */
  allowMissed?: boolean | undefined;
  /** For how many milliseconds events are collected before they are shown together. 16. */
  throttleMs?: number | undefined;
}

/** Holds a stream outside of React. It does nothing until `start`. */
export class StreamStore {
  /** The URL, undefined if only the access has it, null if there is nothing to follow yet. */
  readonly #url: string | undefined | null;
  readonly #options: () => StoreOptions;
  #lastId: string | null;
  #snapshot: StreamSnapshot;
  #arrived: StreamEvent[] = [];
  readonly #missed = new MissedCounter();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #subscription: Subscription | undefined;
  /** The latest subscription, also after it is over: it can still send signals. */
  #latest: Subscription | undefined;
  /** Whether the stream is finished, so that nothing more of it can come. */
  #finished = false;
  readonly #listeners = new Set<() => void>();

  constructor(url: string | undefined | null, after: string | null, options: () => StoreOptions) {
    this.#url = url;
    this.#lastId = after;
    this.#options = options;
    this.#snapshot = {
      events: [],
      text: "",
      status: url === null ? "idle" : "connecting",
      reason: null,
      missed: null,
      error: null,
    };
  }

  readonly getSnapshot = (): StreamSnapshot => this.#snapshot;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Connects after the last event, unless the stream is followed already or is finished. */
  readonly start = (): void => {
    if (this.#url === null || this.#subscription || this.#finished) return;
    this.#show({ status: "connecting", error: null });
    try {
      const { shareTabs, ...options } = this.#options();
      const follow = (options: SubscribeOptions) =>
        shareTabs == null ? subscribe(options) : subscribeShared({ ...options, shareTabs });
      const subscription: Subscription = follow({
        ...options,
        ...this.#credentials(),
        url: this.#url,
        after: this.#lastId,
        onConnection: (change) => {
          this.#options().onConnection?.(change);
          if (this.#subscription === subscription) this.#connection(change);
        },
      });
      this.#subscription = this.#latest = subscription;
      void this.#follow(subscription);
    } catch (error) {
      this.#show({ status: "failed", error });
    }
  };

  /** Closes the connection, and keeps the events so far. */
  readonly disconnect = (): void => {
    const subscription = this.#subscription;
    if (!subscription) return;
    this.#subscription = undefined;
    void subscription.return();
    this.#show({ status: "stopped", error: null });
  };

  /** Asks the producer to stop. Returns null if the stream is finished or not followed yet. */
  readonly requestStop = async (): Promise<number | null> =>
    (await this.#latest?.requestStop()) ?? null;

  /** Sends a signal to the producer. Returns null if the stream is not followed yet. */
  readonly sendSignal = async (name: string, data?: unknown): Promise<number | null> =>
    (await this.#latest?.sendSignal(name, data)) ?? null;

  async #follow(subscription: Subscription): Promise<void> {
    // React's strict mode starts, stops and starts again at once. The first start must not reach
    // the network.
    await Promise.resolve();
    const current = () => this.#subscription === subscription;
    try {
      while (current()) {
        const { done, value } = await subscription.next();
        if (!current()) return;
        if (done) return this.#finish(this.#outcome(subscription));
        this.#lastId = subscription.lastId;
        this.#arrived.push(value);
        if (value.missed) {
          this.#missed.add(value.missed);
          if (!this.#options().allowMissed) throw missedError(value.missed);
        }
        this.#timer ??= setTimeout(
          () => this.#show({ status: "streaming", error: null }),
          this.#options().throttleMs ?? 16,
        );
      }
    } catch (error) {
      void subscription.return();
      if (current()) this.#finish({ status: "failed", error });
    }
  }

  /** The status, the reason and the error when nothing follows the last event. */
  #outcome({ status, lastId, reason }: Subscription): Partial<StreamSnapshot> {
    const last = this.#arrived.at(-1) ?? this.#snapshot.events.at(-1);
    // A subscription that continued after a `fail` did not receive it.
    const seen = last?.id === lastId ? POSSIBLE_LAST_EVENTS.get(last?.event ?? "") : undefined;
    const final = status ?? seen;
    this.#finished = final !== undefined;
    const error = failureError(final, last) ?? null;
    return {
      status: final === "abandoned" ? "failed" : (final ?? "complete"),
      reason: reason ?? (seen ? reasonOf(last?.data) : null),
      error,
    };
  }

  /** Shows whether there is a connection. */
  #connection({ state, error }: ConnectionChange): void {
    if (state === "waiting") this.#show({ status: "reconnecting", error });
    if (state === "open" && this.#snapshot.status === "reconnecting")
      this.#show({ ...this.#connected(), error: null });
  }

  /** The status when a connection is open. */
  #connected(): Pick<StreamSnapshot, "status"> {
    const hasEvents = this.#snapshot.events.length + this.#arrived.length > 0;
    return { status: hasEvents ? "streaming" : "connecting" };
  }

  /** Functions that use the options of the moment at which a token is needed. */
  #credentials(): { token: Token | undefined; access: SubscribeOptions["access"] } {
    const { token, access } = this.#options();
    const getToken = async () => (await currentValue(this.#options().token)) ?? "";
    const getAccess = () => currentValue(this.#options().access) as TokenAccess;
    return {
      token: token == null && access != null ? undefined : getToken,
      access: access == null ? undefined : getAccess,
    };
  }

  #finish(outcome: Partial<StreamSnapshot>): void {
    this.#subscription = undefined;
    this.#show(outcome);
  }

  /** Makes a new snapshot, and calls the listeners. */
  #show(change: Partial<StreamSnapshot>): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { textOf = "token" } = this.#options();
    const partOf =
      typeof textOf === "function"
        ? textOf
        : ({ event, data }: StreamEvent) => (event === textOf ? data : "");
    const arrived = this.#arrived.splice(0);
    const { events, text } = this.#snapshot;
    this.#snapshot = {
      ...this.#snapshot,
      events: arrived.length > 0 ? [...events, ...arrived] : events,
      text: text + arrived.map(partOf).join(""),
      missed: arrived.some(({ missed }) => missed) ? this.#missed.total : this.#snapshot.missed,
      ...change,
    };
    for (const listener of this.#listeners) listener();
  }
}

/** The value that an option has now. */
function currentValue<T>(option: T | (() => T | Promise<T>) | null | undefined): T | Promise<T> {
  return typeof option === "function" ? (option as () => T | Promise<T>)() : (option as T);
}
