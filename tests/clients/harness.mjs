// What the scenarios stand on: every client's agent, the real broker on each store, and proxies
// that cut.

import assert from 'node:assert/strict';
import { createHash, randomInt } from 'node:crypto';
import { describe, test } from 'node:test';
import { numberOf } from '../support/ids.mjs';
import { DEADLINE, until } from '../support/processes.mjs';
import { CuttingProxy, NotingProxy } from '../support/proxy.mjs';
import { Scene } from '../support/scene.mjs';
import { Agent, CLIENTS } from './agent.mjs';

export { numberOf, range } from '../support/ids.mjs';
export { until };

/** The embedded store, and Redis in both kinds of delivery. */
export const STORES = ['memory', 'exclusive', 'shared'];
/** Over these a connection stays; a poll is one request after another. */
export const STREAMING = ['sse', 'ws', 'ndjson'];
export const SUBSCRIBE = [...STREAMING, 'poll'];
export const PUBLISH = ['ndjson', 'websocket'];

/** What chance decides is the same again with the same seed; the timing is not. */
const SEED = process.env.CLIENTS_SEED ?? String(randomInt(2 ** 31));

/**
 * A scenario for each client, and for each combination of `dimensions` (such as `{ transport:
 * SUBSCRIBE, store: STORES }`; without a `store` it is the embedded one), side by side: most of
 * their time is waiting.
 */
export function scenario(name, dimensions, body, { concurrency = 4 } = {}) {
  describe(name, { concurrency }, () => {
    for (const variant of combinations({ client: CLIENTS, ...dimensions })) {
      const title = Object.values(variant).join(', ');
      test(title, { timeout: 3 * DEADLINE }, async ({ signal }) => {
        const random = new Random(`${SEED} ${name} ${title}`);
        const scene = new ClientScene(variant.store ?? 'memory', random);
        // At a timeout nobody waits for the body any more; without what it waits for it comes to
        // its end.
        signal.addEventListener('abort', () => scene.close().catch(() => {}));
        try {
          await body({ ...variant, scene, random });
        } catch (error) {
          error.message += `\n(CLIENTS_SEED=${SEED})`;
          throw error;
        } finally {
          await scene.close();
        }
      });
    }
  });
}

function combinations(dimensions) {
  return Object.entries(dimensions).reduce(
    (all, [name, values]) =>
      all.flatMap((variant) => values.map((value) => ({ ...variant, [name]: value }))),
    [{}],
  );
}

class Random {
  #key;
  #drawn = 0;

  constructor(key) {
    this.#key = key;
  }

  /** In [0, 1). */
  fraction() {
    this.#drawn += 1;
    return (
      createHash('sha256').update(`${this.#key} ${this.#drawn}`).digest().readUInt32BE() / 2 ** 32
    );
  }

  /** Between `low` and `high`, both possible. */
  integer(low, high) {
    return low + Math.floor(this.fraction() * (high - low + 1));
  }

  chance(probability) {
    return this.fraction() < probability;
  }
}

class ClientScene extends Scene {
  #random;

  constructor(store, random) {
    const kept = {
      STREAMER_HEARTBEAT: '1',
      STREAMER_MAX_EVENTS: '100000',
      STREAMER_MAX_CLIENTS: '100',
    };
    if (store === 'memory') super('memory', kept);
    else super('redis', { ...kept, STREAMER_DELIVERY: store });
    this.#random = random;
  }

  #agent(client, job) {
    const agent = new Agent(client, job);
    this.atClose(() => agent.kill());
    return agent;
  }

  /** Follows a stream, as `broker.stream` gives it, at the broker or at a proxy before it. */
  subscribe(client, transport, stream, server, more = {}) {
    return this.#agent(client, {
      job: 'subscribe',
      url: stream.url(transport, server),
      token: stream.token,
      ...more,
    });
  }

  /** Follows several streams; `token` opens them. */
  subscribeMany(client, transport, keys, token, server, more = {}) {
    const url = `${transport === 'ws' ? server.url.replace('http', 'ws') : server.url}/api/client/${transport}`;
    return this.#agent(client, { job: 'subscribe', url, keys, token, ...more });
  }

  /** Writes into the stream at `key`; `server` is the broker, or a proxy before it. */
  publish(client, transport, key, broker, { server = broker, ...more } = {}) {
    return this.#agent(client, {
      job: 'publish',
      url: server.url,
      api_key: broker.apiKey,
      key,
      transport,
      ...more,
    });
  }

  /** Collects the text of a stream. */
  text(client, transport, key, token, broker, more = {}) {
    const url = `${transport === 'ws' ? broker.url.replace('http', 'ws') : broker.url}/api/client/${transport}?key=${encodeURIComponent(key)}`;
    return this.#agent(client, { job: 'text', url, token, allow_missed: false, ...more });
  }

  manage(client, broker, { server = broker, ...more } = {}) {
    return this.#agent(client, { job: 'manage', url: server.url, api_key: broker.apiKey, ...more });
  }

  /**
   * For subscribers. The broker tells them to wait 1,000 ms before they reconnect, which here
   * becomes ten.
   */
  proxy(...brokers) {
    const proxy = new NotingProxy(brokers);
    proxy.rewrite = (chunk) =>
      chunk.includes('retry: 1000\n')
        ? Buffer.from(chunk.toString('latin1').replace('retry: 1000\n', 'retry: 0010\n'), 'latin1')
        : chunk;
    return this.#listen(proxy);
  }

  /** For publishers, whose requests have bodies. */
  uploadProxy(...brokers) {
    return this.#listen(new CuttingProxy(brokers));
  }

  #listen(proxy) {
    proxy.manner = () => (this.#random.chance(0.5) ? 'close' : 'reset');
    return this.listen(proxy);
  }
}

/** A token to several streams. */
export async function tokenFor(broker, keys, more = {}) {
  const { token } = await broker.call('/stream/token', { keys, ...more });
  return token;
}

/**
 * Cuts a client off, until the proxy refuses no more. One that polls may be about to connect at any
 * moment.
 */
export async function cutOff(proxy) {
  const before = proxy.refused;
  proxy.refusing = true;
  const isOff = () => {
    proxy.cutAll();
    return proxy.refused > before && proxy.open === 0;
  };
  await until(isOff, 'the client is cut off');
}

/** What a subscriber gets of an event as the broker has it stored. */
export function asSeen({ id, event, data = '' }, transport) {
  // The standard of server-sent events knows one end of a line.
  return { id, event, data: transport === 'sse' ? data.replace(/\r\n?/g, '\n') : data };
}

export const withoutType = ({ type, ...rest }) => rest;

/**
 * The agent has got exactly these stored events, once and in order; of the stream at `key`, if it
 * follows several.
 */
export function assertSaw(agent, stored, transport, key) {
  const events = agent.events.filter((event) => event.key === key);
  assert.deepEqual(
    events.map(({ id }) => numberOf(id)),
    stored.map(({ id }) => numberOf(id)),
    `the numbers of the events over ${transport}${key === undefined ? '' : ` at ${key}`}`,
  );
  assert.deepEqual(
    events.map(({ key: _, ...event }) => withoutType(event)),
    stored.map((event) => asSeen(event, transport)),
  );
}
