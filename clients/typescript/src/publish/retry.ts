import { ApiError, UnreachableError } from "../errors.js";
import { isRetryable } from "../http.js";
import { backoff, Elapsed, linked, sleep } from "../timing.js";

/** Milliseconds before the second attempt, doubled with each further one. */
const FIRST_DELAY = 100;
const MAX_DELAY = 5_000;
/** Milliseconds after which an attempt that brought no answer counts as a broken connection. */
const ANSWER_TIMEOUT = 15_000;

/** An event was refused, over a connection that goes on. */
export class Refusal extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Decides whether there is another attempt, and waits for it. */
export class Retry {
  readonly #retryForMs: number;
  #since = performance.now();
  #failures = 0;

  constructor(retryForMs: number) {
    this.#retryForMs = retryForMs;
  }

  /**
   * The broker confirmed something, or there is something new to be done: from now on there is time
   * again.
   */
  reset(): void {
    this.#since = performance.now();
    this.#failures = 0;
  }

  /** For how many milliseconds to wait for an answer. */
  readonly patience = (): number => Math.min(ANSWER_TIMEOUT, Math.max(0, this.#remaining));

  get #remaining(): number {
    return this.#since + this.#retryForMs - performance.now();
  }

  /** Resolves when it is time for another attempt. Throws the error when there is none. */
  async pause(error: unknown, signal: AbortSignal): Promise<void> {
    const least = leastDelay(error);
    if (least === undefined || this.#remaining <= least) throw error;
    this.#failures += 1;
    await sleep(
      Math.min(this.#remaining, Math.max(least, backoff(FIRST_DELAY, MAX_DELAY, this.#failures))),
      signal,
    );
  }
}

/**
 * Milliseconds to wait at least before another attempt; undefined when that would meet the same
 * error.
 */
function leastDelay(error: unknown): number | undefined {
  if (error instanceof UnreachableError) return 0;
  if (error instanceof ApiError && isRetryable(error.status)) return (error.retryAfter ?? 0) * 1000;
  if (error instanceof Refusal && RETRYABLE_REFUSALS.has(error.code)) return 0;
  return undefined;
}

const RETRYABLE_REFUSALS = new Set(["store-unavailable", "shutting-down", "internal-error"]);

/**
 * Does the work with a signal that is aborted after `ms` milliseconds, with an `UnreachableError`,
 * or when the given one is.
 */
export async function answeredWithin<T>(
  ms: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { controller, unlink } = linked(signal);
  const timer = setTimeout(() => controller.abort(new UnreachableError(new Elapsed(ms))), ms);
  try {
    return await work(controller.signal);
  } finally {
    clearTimeout(timer);
    unlink();
  }
}
