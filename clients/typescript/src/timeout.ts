import { UnreachableError } from "./errors.js";

/** The longest delay that timers take, in milliseconds. A longer one would fire at once. */
const MAX_TIMER = 2 ** 31 - 1;

/** Resolves after `ms` milliseconds. Rejects with the signal's reason when it is aborted before. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return withTimeout<void>(ms, signal, () => {}).catch((error) => {
    if (!(error instanceof TimedOut)) throw error;
  });
}

/** Something took longer than its timeout. */
export class TimedOut extends Error {
  constructor(ms: number) {
    super(`Nothing was received for ${Math.round(ms)} ms`);
  }
}

/**
 * A promise that `start` settles. Rejects with `TimedOut` after `ms` milliseconds, and with the
 * signal's reason when it is aborted.
 */
export function withTimeout<T>(
  ms: number,
  signal: AbortSignal,
  start: (resolve: (value: T | PromiseLike<T>) => void, reject: (error: unknown) => void) => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const aborted = () => settle(() => reject(signal.reason));
    const timer = setTimeout(() => settle(() => reject(new TimedOut(ms))), Math.min(ms, MAX_TIMER));
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

/**
 * Does the work with a signal. The signal is aborted with an `UnreachableError` after `ms`
 * milliseconds, and when the given signal is aborted.
 */
export async function respondedWithin<T>(
  ms: number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { controller, unlink } = linked(signal);
  const late = () => controller.abort(new UnreachableError(new TimedOut(ms)));
  const timer = setTimeout(late, Math.min(ms, MAX_TIMER));
  try {
    return await work(controller.signal);
  } finally {
    clearTimeout(timer);
    unlink();
  }
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

/** Resolves when the work is done or has failed, or after `ms` milliseconds. */
export async function settledWithin(ms: number, work: Promise<unknown>): Promise<void> {
  await withTimeout<void>(ms, new AbortController().signal, (resolve) => {
    work.then(
      () => resolve(),
      () => resolve(),
    );
  }).catch(() => {});
}
