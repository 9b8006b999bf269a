import type { PublishError } from "../errors.js";

/** What the broker confirmed. */
export interface Acknowledgement {
  /** How many events of this writer are stored now. */
  count: number;
  /** The id of the last of them, if it is known. */
  lastId: string | null;
}

interface Waiter {
  /** How many events must be acknowledged. */
  until: number;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/**
 * The events of a writer that the broker has not confirmed, in order, and those who wait for that.
 * Only the oldest `maxPending` are to be sent; later ones have their writers waiting.
 */
export class Outbox {
  /**
   * How many events the broker has confirmed. They count from 0, so it is also the number of the
   * first one here.
   */
  acknowledged = 0;
  /** Why no more will be confirmed. */
  failure: PublishError | undefined;
  /** Whether somebody was told of the failure. */
  failureTold = false;
  readonly #maxPending: number;
  readonly #onAck: ((acknowledgement: Acknowledgement) => void) | undefined;
  #lines: string[] = [];
  #waiters: Waiter[] = [];
  #changed = () => {};

  constructor(maxPending: number, onAck: ((acknowledgement: Acknowledgement) => void) | undefined) {
    this.#maxPending = maxPending;
    this.#onAck = onAck;
  }

  /** How many events are written and not confirmed. */
  get pending(): number {
    return this.#lines.length;
  }

  /** Takes an event. Resolves when it is among the `maxPending` that are to be sent. */
  push(line: string): Promise<void> {
    if (this.failure) return this.#tell(this.failure);
    this.#lines.push(line);
    this.#changed();
    return this.#until(this.acknowledged + this.pending - this.#maxPending);
  }

  /** Resolves when all that is written is confirmed. */
  flush(): Promise<void> {
    return this.#until(this.acknowledged + this.pending);
  }

  /** The events to be sent, from number `from` on. */
  window(from: number): string[] {
    return this.#lines.slice(from - this.acknowledged, this.#maxPending);
  }

  /** The broker has the `count` oldest events. */
  acknowledge(count: number, lastId: string | null): void {
    this.#lines.splice(0, count);
    this.acknowledged += count;
    this.#onAck?.({ count: this.acknowledged, lastId });
    const settled = this.#waiters.filter(({ until }) => until <= this.acknowledged);
    this.#waiters = this.#waiters.filter(({ until }) => until > this.acknowledged);
    for (const { resolve } of settled) resolve();
  }

  /** No more will be sent: whoever waits is told why, and whoever comes. */
  fail(failure: PublishError): void {
    this.failure ??= failure;
    this.failureTold ||= this.#waiters.length > 0;
    for (const { reject } of this.#waiters.splice(0)) reject(this.failure);
  }

  /** Calls `changed` when an event is pushed. */
  onPush(changed: () => void): void {
    this.#changed = changed;
  }

  #until(until: number): Promise<void> {
    if (this.failure) return this.#tell(this.failure);
    if (until <= this.acknowledged) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.push({ until, resolve, reject }));
  }

  #tell(failure: PublishError): Promise<never> {
    this.failureTold = true;
    return Promise.reject(failure);
  }
}
