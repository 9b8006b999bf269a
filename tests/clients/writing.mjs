// What scenarios with writers share.

import assert from 'node:assert/strict';
import { numberOf, range } from '../support/ids.mjs';

/** Writes events whose data counts them. */
export class Writer {
  written = 0;

  constructor(publisher) {
    this.publisher = publisher;
  }

  write(count) {
    for (; count > 0; count -= 1, this.written += 1)
      this.publisher.send({ op: 'write', event: 'token', data: this.written });
  }

  async flush() {
    const flushes = this.publisher.flushes + 1;
    this.publisher.send({ op: 'flush' });
    await this.publisher.until(() => this.publisher.flushes === flushes, `flush ${flushes}`);
  }

  get unacknowledged() {
    return this.written - (this.publisher.acks.at(-1)?.count ?? 0);
  }
}

/**
 * The stream holds `start`, then what a `Writer` wrote, once and in order, then events named as in
 * `last`.
 */
export async function assertHolds(broker, key, written, last) {
  const stored = await broker.events(key);
  assert.deepEqual(
    stored.map(({ event, data }) => data ?? event),
    ['start', ...range(0, written).map(String), ...last],
  );
  return stored;
}

/**
 * Asks the broker about acknowledgements as they come: a true one tells no more than is stored by
 * then.
 */
export class AckCheck {
  #untrue = [];
  #asked = 0;
  #asking = Promise.resolve();

  constructor(publisher, broker, key) {
    Object.assign(this, { publisher, broker, key });
  }

  /** Asks about those that have come since the last call. */
  ask() {
    const acks = this.publisher.acks.slice(this.#asked);
    this.#asked += acks.length;
    if (acks.length > 0) this.#asking = this.#asking.then(() => this.#compare(acks));
  }

  async #compare(acks) {
    const stored = numberOf((await this.broker.info(this.key)).last_id);
    this.#untrue.push(...acks.filter(({ count }) => count > stored));
  }

  /** Waits for the broker's answers. */
  settled() {
    return this.#asking;
  }

  /**
   * None was untrue, they never went back and came to all, and an id that they told is that of the
   * last event they count.
   */
  async assertTrue(written) {
    this.ask();
    await this.settled();
    assert.deepEqual(this.#untrue, [], 'acknowledgements of what was not stored');
    const counts = this.publisher.acks.map(({ count }) => count);
    assert.deepEqual(
      counts,
      counts.toSorted((a, b) => a - b),
    );
    assert.equal(counts.at(-1), written);
    const withId = this.publisher.acks.filter(({ last_id: id }) => id !== null);
    assert.deepEqual(
      withId.map(({ last_id: id }) => numberOf(id)),
      withId.map(({ count }) => count),
    );
  }
}
