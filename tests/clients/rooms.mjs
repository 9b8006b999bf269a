// Subscribers, each behind a proxy of its own that cuts it at random: in the midst of bytes, and in
// the midst of time.

import assert from 'node:assert/strict';

/**
 * Only over server-sent events does the broker tell a client to come back sooner than after half a
 * second to a second.
 */
export const CUTS = { sse: 20, ws: 8, ndjson: 8, poll: 8 };

export class Room {
  /** The agent that is cut; to be set. */
  subscriber = null;
  #random;
  #had = 0;
  #barren = false;
  #short = false;

  constructor(transport, proxy, random) {
    Object.assign(this, { transport, proxy });
    this.#random = random;
    proxy.manner = () => (random.chance(0.08) ? 'silence' : random.chance(0.5) ? 'close' : 'reset');
    proxy.allowance = () => this.#allowance();
  }

  /** Whether it was cut often enough. */
  get done() {
    return this.proxy.cuts >= CUTS[this.transport];
  }

  /** Cuts all connections, once in a while. */
  cutAtTimes() {
    assert.equal(this.subscriber.outcome, null);
    const may = !this.#barren || this.#events > this.#had;
    if (may && this.proxy.open > 0 && this.#random.chance(0.04)) this.proxy.cutAll();
  }

  get #events() {
    return this.subscriber?.events.length ?? 0;
  }

  /** By bytes, so that heads and frames are cut in their middle; others later, by time. */
  #allowance() {
    // After each connection that brings no event clients wait twice as long, which on a slow
    // machine would come to minutes: there may be one such connection in a row, whichever way it is
    // cut.
    this.#barren = this.proxy.cuts > 0 && this.#events === this.#had;
    this.#had = this.#events;
    this.#short = !this.#short && !this.#barren && !this.done && this.#random.chance(0.6);
    return this.#short ? this.#random.integer(0, 3_000) : Infinity;
  }
}
