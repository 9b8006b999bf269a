import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { sources } from './sources.mjs';

/** Enough for the last `number`s that a page draws, and for a whole answer. */
const MAX_EVENTS = 1_000;

/**
 * Twenty sources. Each is written into its own stream. When a source ends, it continues in another
 * stream. The key is `PREFIX` `SLUG:RUN`, with runs counted from 1, so that a page can wait for the
 * next stream before it exists.
 */
export class Board {
  prefix = `board-${randomUUID()}:`;
  #broker;
  #runs = new Map();
  #ending = new AbortController();
  #works;

  constructor(broker) {
    this.#broker = broker;
    // Each source listens to this signal.
    setMaxListeners(sources.length, this.#ending.signal);
    this.#works = sources.map((source) => this.#keep(source));
  }

  /**
   * The data that a page needs. One token opens every stream whose key begins with the prefix, also
   * those of later runs.
   */
  async access() {
    const { sse_url, token } = await this.#broker.post('/stream/token', { prefix: this.prefix });
    const tiles = sources.map(({ slug, name, kind, unit }) => ({
      slug,
      name,
      kind,
      unit,
      run: this.#runs.get(slug) ?? 1,
    }));
    return { sse_url, token, prefix: this.prefix, tiles };
  }

  /** Ends all streams. */
  async close() {
    this.#ending.abort();
    await Promise.all(this.#works);
  }

  async #keep(source) {
    const { signal } = this.#ending;
    for (let run = 1; !signal.aborted; run += 1) {
      try {
        await sleep(source.rest?.() ?? 0, undefined, { signal });
        await this.#play(source, run);
      } catch (error) {
        if (signal.aborted) return;
        console.error(`${source.slug}, run ${run}: ${error.message}`);
        await sleep(1_000);
      }
    }
  }

  async #play(source, run) {
    const key = `${this.prefix}${source.slug}:${run}`;
    await this.#broker.post('/stream/', { key, max_events: MAX_EVENTS });
    this.#runs.set(source.slug, run);
    await this.#broker.upload(key, this.#paced(source));
    await this.#broker.post('/stream/end', { key });
  }

  async *#paced(source) {
    for (const { pause, ...event } of source.play()) {
      yield event;
      // When the board is closed, each upload ends as if its source had ended.
      await sleep(pause, undefined, { signal: this.#ending.signal }).catch(() => {});
      if (this.#ending.signal.aborted) return;
    }
  }
}
