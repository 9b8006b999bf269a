/** Says how long to wait before the next attempt: longer with each failure in a row. */
export class Backoff {
  /** Milliseconds to wait after the first failure in a row. */
  first: number;
  readonly #max: number;
  readonly #random: () => number;
  #failures = 0;

  /** `max` is the longest delay in milliseconds. */
  constructor(first: number, max: number, random: () => number = Math.random) {
    this.first = first;
    this.#max = max;
    this.#random = random;
  }

  /** An attempt succeeded, so the next failure is the first in a row. */
  reset(): void {
    this.#failures = 0;
  }

  /**
   * Counts a failure, and returns how many milliseconds to wait after it: `first`, doubled with
   * each further failure, at most `max`. A random half of that is left out, so that clients that
   * failed together do not come back together.
   */
  delay(): number {
    return Math.min(this.first * 2 ** this.#failures++, this.#max) * (0.5 + this.#random() / 2);
  }
}
