/** The longest delay that timers take, in milliseconds; a longer one would fire at once. */
const LONGEST = 2 ** 31 - 1;

/**
 * How long to wait after `failures` (1 or more) in a row, in milliseconds: `first`, doubled with
 * each failure up to `most`, of which a random half to whole, so that many clients that failed
 * together do not come back together.
 */
export function backoff(
  first: number,
  most: number,
  failures: number,
  random: () => number = Math.random,
): number {
  return Math.min(first * 2 ** (failures - 1), most) * (0.5 + random() / 2);
}

/** Resolves after `ms` milliseconds; rejects with the signal's reason when it is aborted before. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return within<void>(ms, signal, () => {}).catch((error) => {
    if (!(error instanceof Elapsed)) throw error;
  });
}

/** A wait took longer than it was allowed to. */
export class Elapsed extends Error {
  constructor(ms: number) {
    super(`Nothing was heard for ${Math.round(ms)} ms`);
  }
}

/**
 * A promise that `start` settles. Rejects with `Elapsed` after `ms` milliseconds, and with the
 * signal's reason when it is aborted.
 */
export function within<T>(
  ms: number,
  signal: AbortSignal,
  start: (resolve: (value: T | PromiseLike<T>) => void, reject: (error: unknown) => void) => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const aborted = () => settle(() => reject(signal.reason));
    const timer = setTimeout(() => settle(() => reject(new Elapsed(ms))), Math.min(ms, LONGEST));
    const settle = (then: () => void) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", aborted);
      then();
    };
    signal.addEventListener("abort", aborted);
    start(
      (value) => settle(() => resolve(value)),
      (error) => settle(() => reject(error)),
    );
  });
}

/** A controller that is aborted when the signal is, until `unlink` is called. */
export function linked(signal: AbortSignal | undefined): {
  controller: AbortController;
  unlink: () => void;
} {
  const controller = new AbortController();
  const abort = () => controller.abort(signal?.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort);
  return { controller, unlink: () => signal?.removeEventListener("abort", abort) };
}
