import { Backoff } from "../backoff.js";
import { ApiError, UnreachableError } from "../errors.js";
import { leastDelay } from "../http.js";
import { sleep } from "../timeout.js";

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
    const least = leastDelayAfter(error);
    if (least === undefined || this.#remaining <= least) throw error;
    await sleep(Math.min(this.#remaining, Math.max(least, this.#backoff.delay())), signal);
  }
}

/** The same as `leastDelay`, also for an event that the broker refused. */
function leastDelayAfter(error: unknown): number | undefined {
  if (error instanceof EventRefused) return RETRYABLE_CODES.has(error.code) ? 0 : undefined;
  // Another error is one of the program.
  return error instanceof ApiError || error instanceof UnreachableError
    ? leastDelay(error)
    : undefined;
}

const RETRYABLE_CODES = new Set(["store-unavailable", "shutting-down", "internal-error"]);
