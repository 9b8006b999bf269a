import type { PublishError } from "../errors.js";

/** The broker's acknowledgement of events. */
export interface Ack {
  /** How many events of this writer are stored now. */
  count: number;
  /** The id of the last of them, if it is known. */
  lastId: string | null;
}

/** @deprecated The name is `Ack` now. */
export type Acknowledgement = Ack;

interface Waiter {
  /** How many events must be acknowledged. */
  until: number;
  /** Whether the caller waits for room, to write another event. */
  isWrite: boolean;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/**
 * Holds the events that the broker has not acknowledged, in order, and the callers that wait for
 * that. Only the oldest `maxPending` events are sent. The callers of later events wait.
 */
export class Outbox {
  /**
   * How many events the broker has acknowledged. Events count from 0, so this is also the number of
   * the first event here.
   */
  acknowledged = 0;
  /** Why no more events will be acknowledged. */
  failure: PublishError | undefined;
  /** Whether a caller received the failure. */
  failureReported = false;
  readonly #maxPending: number;
  readonly #onAck: ((ack: Ack) => void) | undefined;
  #lines: string[] = [];
  #waiters: Waiter[] = [];
  #changed = () => {};

  constructor(maxPending: number, onAck: ((ack: Ack) => void) | undefined) {
    this.#maxPending = maxPending;
    this.#onAck = onAck;
  }

  /** How many events are written and not acknowledged. */
  get pending(): number {
    return this.#lines.length;
  }

  /** Adds an event. After a failure it is dropped. */
  push(line: string): void {
    if (this.failure) return;
    this.#lines.push(line);
    this.#changed();
  }

  /**
   * Resolves when the last event is one of the `maxPending` events to send. `waiting` is how many
   * events are not here yet, and count as well.
   */
  room(waiting: number): Promise<void> {
    return this.#until(this.acknowledged + this.pending + waiting - this.#maxPending, true);
  }

  /** Resolves when all events so far are acknowledged. */
  flush(): Promise<void> {
    return this.#until(this.acknowledged + this.pending);
  }

  /** The events to send, from number `from` on. */
  window(from: number): string[] {
    return this.#lines.slice(from - this.acknowledged, this.#maxPending);
  }

  /** The broker has stored the `count` oldest events. */
  acknowledge(count: number, lastId: string | null): void {
    this.#lines.splice(0, count);
    this.acknowledged += count;
    this.#onAck?.({ count: this.acknowledged, lastId });
    const settled = this.#waiters.filter(({ until }) => until <= this.acknowledged);
    this.#waiters = this.#waiters.filter(({ until }) => until > this.acknowledged);
    for (const { resolve } of settled) resolve();
  }

  /** Sends no more events. All callers that wait receive the failure, and all later ones. */
  fail(failure: PublishError): void {
    this.failure ??= failure;
    this.failureReported ||= this.#waiters.length > 0;
    for (const { reject } of this.#waiters.splice(0)) reject(this.failure);
  }

  /** The callers that wait for room receive the error. Their events stay. */
  refuseWrites(error: PublishError): void {
    const refused = this.#waiters.filter(({ isWrite }) => isWrite);
    this.#waiters = this.#waiters.filter(({ isWrite }) => !isWrite);
    for (const { reject } of refused) reject(error);
  }

  /** Calls `changed` when an event is pushed. */
  onPush(changed: () => void): void {
    this.#changed = changed;
  }

  #until(until: number, isWrite = false): Promise<void> {
    if (this.failure) return this.#reject(this.failure);
    if (until <= this.acknowledged) return Promise.resolve();
    return new Promise((resolve, reject) =>
      this.#waiters.push({ until, isWrite, resolve, reject }),
    );
  }

  #reject(failure: PublishError): Promise<never> {
    this.failureReported = true;
    return Promise.reject(failure);
  }
}
