// Helpers of scenarios with writers.

import assert from 'node:assert/strict';
import { numberOf, range } from '../support/ids.mjs';

/** Writes events whose data is their number. */
export class CountingWriter {
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
 * The stream contains `start`, then the events of a `CountingWriter` once and in order, then the
 * events named in `last`.
 */
export async function assertHolds(broker, key, written, last) {
  const stored = await broker.events(key);
  assert.deepEqual(
    stored.map(({ event, data }) => (event === 'token' ? data : event)),
    ['start', ...range(0, written).map(String), ...last],
  );
  return stored;
}

/**
 * Compares acknowledgements with the broker as they come. An acknowledgement must not count more
 * events than are stored.
 */
export class AckCheck {
  #wrong = [];
  #checked = 0;
  #checking = Promise.resolve();

  constructor(publisher, broker, key) {
    Object.assign(this, { publisher, broker, key });
  }

  /** Checks the acknowledgements that came since the last call. */
  ask() {
    const acks = this.publisher.acks.slice(this.#checked);
    this.#checked += acks.length;
    if (acks.length > 0) this.#checking = this.#checking.then(() => this.#compare(acks));
  }

  async #compare(acks) {
    const stored = numberOf((await this.broker.info(this.key)).last_id);
    this.#wrong.push(...acks.filter(({ count }) => count > stored));
  }

  /** Waits for the broker's responses. */
  settled() {
    return this.#checking;
  }

  /**
   * No acknowledgement was wrong. The counts only grew, and reached all events. Each id was that of
   * the last event counted.
   */
  async assertTrue(written) {
    this.ask();
    await this.settled();
    assert.deepEqual(this.#wrong, [], 'acknowledgements of events that were not stored');
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
