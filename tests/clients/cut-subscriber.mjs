// A subscriber behind its own proxy, which cuts the connection at random bytes and at random times.

import assert from 'node:assert/strict';

/**
 * How many cuts each transport gets. Only over server-sent events can the broker set a shorter
 * retry delay than half a second to a second.
 */
export const CUTS = { sse: 20, ws: 8, ndjson: 8, poll: 8 };

export class CutSubscriber {
  /** The agent that is cut. The caller sets it. */
  subscriber = null;
  #random;
  #eventsBefore = 0;
  #withoutEvent = false;
  #short = false;

  constructor(transport, proxy, random) {
    Object.assign(this, { transport, proxy });
    this.#random = random;
    proxy.cutMode = () =>
      random.chance(0.08) ? 'silence' : random.chance(0.5) ? 'close' : 'reset';
    proxy.allowance = () => this.#allowance();
  }

  /** Whether the connection was cut often enough. */
  get done() {
    return this.proxy.cuts >= CUTS[this.transport];
  }

  /** Cuts all connections with a small probability. */
  cutAtTimes() {
    assert.equal(this.subscriber.outcome, null);
    const may = !this.#withoutEvent || this.#events > this.#eventsBefore;
    if (may && this.proxy.open > 0 && this.#random.chance(0.04)) this.proxy.cutAll();
  }

  get #events() {
    return this.subscriber?.events.length ?? 0;
  }

  /**
   * The number of bytes after which to cut, so that heads and frames are cut in the middle.
   * Infinity leaves the connection to `cutAtTimes`.
   */
  #allowance() {
    // The retry delay doubles after each connection without an event. On a slow machine that would
    // come to minutes. So at most one such connection in a row is cut.
    this.#withoutEvent = this.proxy.cuts > 0 && this.#events === this.#eventsBefore;
    this.#eventsBefore = this.#events;
    this.#short = !this.#short && !this.#withoutEvent && !this.done && this.#random.chance(0.6);
    return this.#short ? this.#random.integer(0, 3_000) : Infinity;
  }
}
