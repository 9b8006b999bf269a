import { POSSIBLE_LAST_EVENTS, type StreamEvent } from "../subscribe/event.js";
import { failureError } from "../subscribe/failure.js";
import { MissedCounter, type MissedTotal, missedError } from "../subscribe/missed.js";
import type { Token } from "../subscribe/options.js";
import type { SubscribeOptions, Subscription } from "../subscribe/subscription.js";
import { subscribe } from "../subscribe.js";

/**
 * The status of a stream.
 *
 * * `idle`: there is no URL or no token yet.
 * * `connecting`: no event came yet.
 * * `streaming`: events came.
 * * `reconnecting`: the connection broke or could not be made, and another will be tried. `error`
 *   says why.
 * * `ended` and `cancelled`: how the stream was finished.
 * * `complete`: nothing followed the id that the hook continued after.
 * * `stopped`: by `stop`.
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
  /** How many events are missing so far. Null while none is. */
  readonly missed: MissedTotal | null;
  /** Why it failed, or why another connection is needed. Otherwise null. */
  readonly error: unknown;
}

/**
 * How to follow a stream. Options that may change without a restart are read when they are needed.
 */
export interface StoreOptions
  extends Omit<SubscribeOptions, "url" | "token" | "access" | "after" | "signal"> {
  token?: Token | null | undefined;
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
  readonly #url: string | null;
  readonly #options: () => StoreOptions;
  #lastId: string | null;
  #snapshot: StreamSnapshot;
  #arrived: StreamEvent[] = [];
  readonly #missed = new MissedCounter();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #subscription: Subscription | undefined;
  /** Whether the stream is finished, so that nothing more of it can come. */
  #finished = false;
  readonly #listeners = new Set<() => void>();

  constructor(url: string | null, after: string | null, options: () => StoreOptions) {
    this.#url = url;
    this.#lastId = after;
    this.#options = options;
    this.#snapshot = {
      events: [],
      text: "",
      status: url === null ? "idle" : "connecting",
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
      const current = () => this.#subscription === subscription;
      const subscription: Subscription = subscribe({
        ...this.#options(),
        url: this.#url,
        token: () => this.#token(),
        after: this.#lastId,
        onConnect: () => {
          this.#options().onConnect?.();
          if (current() && this.#snapshot.status === "reconnecting")
            this.#show({ ...this.#connected(), error: null });
        },
        onReconnect: (error) => {
          this.#options().onReconnect?.(error);
          if (current()) this.#show({ status: "reconnecting", error });
        },
      });
      this.#subscription = subscription;
      void this.#follow(subscription);
    } catch (error) {
      this.#show({ status: "failed", error });
    }
  };

  /** Closes the connection, and keeps the events so far. */
  readonly stop = (): void => {
    const subscription = this.#subscription;
    if (!subscription) return;
    this.#subscription = undefined;
    void subscription.return();
    this.#show({ status: "stopped", error: null });
  };

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

  /** The status and the error when nothing follows the last event. */
  #outcome({ status, lastId }: Subscription): Pick<StreamSnapshot, "status" | "error"> {
    const last = this.#arrived.at(-1) ?? this.#snapshot.events.at(-1);
    // A subscription that continued after a `fail` did not receive it.
    const seen = last?.id === lastId ? POSSIBLE_LAST_EVENTS.get(last?.event ?? "") : undefined;
    const final = status ?? seen;
    this.#finished = final !== undefined;
    const error = failureError(final, last) ?? null;
    return { status: final === "abandoned" ? "failed" : (final ?? "complete"), error };
  }

  /** The status when a connection is open. */
  #connected(): Pick<StreamSnapshot, "status"> {
    const hasEvents = this.#snapshot.events.length + this.#arrived.length > 0;
    return { status: hasEvents ? "streaming" : "connecting" };
  }

  async #token(): Promise<string> {
    const { token } = this.#options();
    return (typeof token === "function" ? await token() : token) ?? "";
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
