import { ApiError } from "../errors.js";
import { isRetryable } from "../http.js";
import type { Log } from "../log.js";
import { settledWithin } from "../timeout.js";
import type { Target } from "./target.js";

/** The shortest and the longest lease that the broker grants, in seconds. */
const [MIN_LEASE, MAX_LEASE] = [2, 86_400];
/** The longest time for one renewal, in milliseconds. */
const MAX_RENEWAL = 10_000;
/** The longest time for each of the two steps that end the lease, in milliseconds. */
const MAX_RELEASE = 3_000;

/** Throws a `RangeError` when the broker would not grant this lease. */
export function checkLease(seconds: number): void {
  const granted = Number.isInteger(seconds) && seconds >= MIN_LEASE && seconds <= MAX_LEASE;
  if (seconds === 0 || granted) return;
  throw new RangeError(
    `\`lease\` is 0 or a whole number of seconds from ${MIN_LEASE} to ${MAX_LEASE}, not ${seconds}`,
  );
}

/** What a lease reports. */
export interface LeaseListener {
  /** The producer was asked to stop. Called with each renewal from then on. */
  stopRequested(): void;
  /** Somebody else has cancelled the stream. */
  cancelled(error: ApiError): void;
}

/**
 * Renews the lease of a stream in the background, each quarter of its time. The broker abandons
 * the stream when the renewals stop, so its subscribers learn that the producer died.
 */
export class Lease {
  readonly #target: Target;
  readonly #seconds: number;
  readonly #listener: LeaseListener;
  readonly #log: Log;
  readonly #abort = new AbortController();
  #started = false;
  /** Whether the broker may keep a lease for this writer. */
  #kept = false;
  #renewal: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `seconds` is what `checkLease` takes. 0 renews nothing. */
  constructor(target: Target, seconds: number, listener: LeaseListener, log: Log) {
    this.#target = target;
    this.#seconds = seconds;
    this.#listener = listener;
    this.#log = log;
  }

  /** Begins the lease, unless it has begun before. It delays nobody. */
  start(): void {
    if (this.#started || this.#seconds === 0) return;
    this.#started = true;
    this.#kept = true;
    void this.#run();
  }

  /** Renews no more. */
  stop(): void {
    this.#started = true;
    this.#kept = false;
    clearTimeout(this.#timer);
    this.#abort.abort();
  }

  /** Ends the lease, because the stream waits for its next writer. A failure is only logged. */
  async release(): Promise<void> {
    if (!this.#kept) return this.stop();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // A renewal that the broker got after the release would begin the lease again.
    const renewal = this.#renewal;
    this.#renewal = undefined;
    if (renewal) await settledWithin(MAX_RELEASE, renewal);
    const wasKept = this.#kept;
    this.stop();
    if (!wasKept) return;
    await this.#target.renew(0, MAX_RELEASE).catch((error) => {
      this.#log("warn", "The lease of a stream could not be ended", error);
    });
  }

  /** Renews once, and again after a quarter of the lease. */
  async #run(): Promise<void> {
    const next = performance.now() + this.#seconds * 250;
    const renewal = this.#renew();
    this.#renewal = renewal;
    await renewal;
    // Otherwise `release` took over.
    if (!this.#kept || this.#renewal !== renewal) return;
    this.#timer = setTimeout(() => void this.#run(), Math.max(0, next - performance.now()));
    // A writer that nobody uses any more must not keep a process of Node alive.
    (this.#timer as { unref?: () => void }).unref?.();
  }

  async #renew(): Promise<void> {
    const timeout = Math.min(MAX_RENEWAL, this.#seconds * 500);
    try {
      const renewed = await this.#target.renew(this.#seconds, timeout, this.#abort.signal);
      // Older brokers report only the deadline of a stop.
      const asked = renewed.stop_requested_at ?? renewed.stop_expires_at;
      if (asked != null) this.#listener.stopRequested();
    } catch (error) {
      if (this.#kept) this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    if (!(error instanceof ApiError) || isRetryable(error.status)) {
      this.#log("warn", "The lease of a stream was not renewed, and will be tried again", error);
    } else if (error.code !== "no-active-stream") {
      const isUnknown = error.status === 404 || error.status === 405;
      if (isUnknown) this.#log("debug", "The broker has no leases", error);
      else this.#log("warn", "The lease of a stream is no longer renewed", error);
      this.stop();
    } else if (error.streamStatus !== undefined) {
      this.stop();
      if (error.streamStatus === "cancelled") this.#listener.cancelled(error);
    }
    // Otherwise the stream does not exist yet.
  }
}
