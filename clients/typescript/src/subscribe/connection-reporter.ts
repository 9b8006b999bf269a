import type { Log } from "../log.js";
import { notify } from "../notify.js";

/** A change of the connection of a subscription. */
export interface ConnectionChange {
  /**
   * * `connecting`: the library connects.
   * * `open`: the broker has accepted the subscription.
   * * `waiting`: the connection failed with `error`. The next attempt comes after `retryInMs`.
   * * `closed`: the subscription is over, with `error` if it failed.
   */
  state: "connecting" | "open" | "waiting" | "closed";
  /** The number of the attempt to connect, from 1. It begins again after the next event. */
  attempt: number;
  /** Null unless something failed. */
  error: unknown;
  /** Milliseconds until the next attempt. Null unless the state is `waiting`. */
  retryInMs: number | null;
}

/** Reports the changes of a connection to the application and to its log. */
export class ConnectionReporter {
  readonly #listener: ((change: ConnectionChange) => void) | undefined;
  readonly #log: Log;
  #state: ConnectionChange["state"] | undefined;
  #attempt = 0;
  /** Whether an event came since the last attempt. */
  eventCame = false;

  constructor(listener: ((change: ConnectionChange) => void) | undefined, log: Log) {
    this.#listener = listener;
    this.#log = log;
  }

  /** The connection is in this state now. */
  change(
    state: ConnectionChange["state"],
    error: unknown = null,
    retryInMs: number | null = null,
  ): void {
    // A connection that replaces an open one is no change.
    if (this.#state === "open" && (state === "connecting" || state === "open")) return;
    this.#state = state;
    if (state === "connecting") {
      this.#attempt = this.eventCame ? 1 : this.#attempt + 1;
      this.eventCame = false;
    }
    const attempt = this.#attempt;
    notify(this.#listener, { state, attempt, error, retryInMs });
    const level = state === "waiting" ? "info" : "debug";
    this.#log(level, `Connection ${state}, attempt ${attempt}`, error ?? undefined);
  }
}
