import { Backoff } from "../backoff.js";
import { ApiError, UnreachableError } from "../errors.js";
import { isRetryable } from "../http.js";
import { linked, sleep, TimedOut } from "../timeout.js";

/** Milliseconds before the second attempt. They double with each further one. */
const FIRST_DELAY = 100;
const MAX_DELAY = 5_000;
/** Milliseconds without a response after which an attempt has failed. */
const RESPONSE_TIMEOUT = 15_000;

/** The broker refused an event, over a connection that stays usable. */
export class EventRefused extends Error {
  readonly code: string;
  /** The status of the stream, if it is finished. */
  readonly streamStatus: string | undefined;

  constructor(code: string, message: string, streamStatus?: string) {
    super(message);
    this.code = code;
    this.streamStatus = streamStatus;
  }
}

/** Decides whether a failed upload is tried again, and waits before the next attempt. */
export class Retry {
  readonly #retryForMs: number;
  #since = performance.now();
  readonly #backoff = new Backoff(FIRST_DELAY, MAX_DELAY);

  constructor(retryForMs: number) {
    this.#retryForMs = retryForMs;
  }

  /** The broker acknowledged something, or new work begins. The time for retries starts again. */
  reset(): void {
    this.#since = performance.now();
    this.#backoff.reset();
  }

  /** How many milliseconds to wait for a response. */
  readonly timeout = (): number => Math.min(RESPONSE_TIMEOUT, Math.max(0, this.#remaining));

  get #remaining(): number {
    return this.#since + this.#retryForMs - performance.now();
  }

  /** Resolves when it is time for another attempt. Throws the error when there is no other one. */
  async pause(error: unknown, signal: AbortSignal): Promise<void> {
    const least = leastDelay(error);
    if (least === undefined || this.#remaining <= least) throw error;
    await sleep(Math.min(this.#remaining, Math.max(least, this.#backoff.delay())), signal);
  }
}

/**
 * The shortest delay before another attempt, in milliseconds. Undefined for an error that another
 * attempt would meet again.
 */
function leastDelay(error: unknown): number | undefined {
  if (error instanceof UnreachableError) return 0;
  if (error instanceof ApiError && isRetryable(error.status)) return (error.retryAfter ?? 0) * 1000;
  if (error instanceof EventRefused && RETRYABLE_CODES.has(error.code)) return 0;
  return undefined;
}

const RETRYABLE_CODES = new Set(["store-unavailable", "shutting-down", "internal-error"]);

/**
 * Does the work with a signal. The signal is aborted with an `UnreachableError` after `ms`
 * milliseconds, and when the given signal is aborted.
 */
export async function respondedWithin<T>(
  ms: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { controller, unlink } = linked(signal);
  const timer = setTimeout(() => controller.abort(new UnreachableError(new TimedOut(ms))), ms);
  try {
    return await work(controller.signal);
  } finally {
    clearTimeout(timer);
    unlink();
  }
}
