// What the scenarios use: the agent of each client library, a real broker on each store, and
// proxies that cut connections.

import assert from 'node:assert/strict';
import { createHash, randomInt } from 'node:crypto';
import { describe, test } from 'node:test';
import { numberOf } from '../support/ids.mjs';
import { pickByName } from '../support/pick.mjs';
import { DEADLINE, until } from '../support/processes.mjs';
import { CuttingProxy, RecordingProxy } from '../support/proxy.mjs';
import { Fixture } from '../support/fixture.mjs';
import { Agent, CLIENTS, withoutType } from './agent.mjs';

export { numberOf, range } from '../support/ids.mjs';
export { until, withoutType };

/** The embedded store, and Redis with both kinds of delivery. */
export const STORES = ['memory', 'exclusive', 'shared'];
/** The transports whose connection stays open. A poll is one request after another. */
export const STREAMING = ['sse', 'ws', 'ndjson'];
export const SUBSCRIBE = [...STREAMING, 'poll'];
export const PUBLISH = ['ndjson', 'websocket'];

/** The seed of all random decisions. The timing still differs between runs. */
const SEED = process.env.CLIENTS_SEED ?? String(randomInt(2 ** 31));

/** Whether to run every combination. Otherwise the few of `combinations`. */
const ALL = process.env.SCENARIOS === 'all';

/**
 * Runs a scenario for each client library and for each combination of `dimensions`, such as `{
 * transport: SUBSCRIBE, store: STORES }`. Without a `store` it uses the embedded one. The tests run
 * in parallel, because most of their time is waiting.
 */
export function scenario(name, dimensions, body, { concurrency = 4 } = {}) {
  // Outside of `describe`, which counts no failed test for an error here.
  const variants = combinations(name, dimensions);
  assert.ok(variants.length > 0, name);
  describe(name, { concurrency }, () => {
    for (const variant of variants) {
      const title = Object.values(variant).join(', ');
      test(title, { timeout: 3 * DEADLINE }, async ({ signal }) => {
        const random = new Random(`${SEED} ${name} ${title}`);
        const fixture = new ClientFixture(variant.store ?? 'memory', random);
        // After a timeout nobody awaits the body. It ends when its processes and servers are
        // closed.
        signal.addEventListener('abort', () => fixture.close().catch(() => {}));
        try {
          await body({ ...variant, fixture, random });
        } catch (error) {
          error.message += `\n(CLIENTS_SEED=${SEED})`;
          throw error;
        } finally {
          await fixture.close();
        }
      });
    }
  });
}

/** Clients whose code is generated, each with the client that it is generated from. */
const GENERATED_FROM = { 'python-sync': 'python' };

/**
 * The combinations to run. With three dimensions or more they are so few that each two values of
 * different dimensions meet at least once. A generated client has one of them beside its source.
 * `make test-scenarios` runs all.
 */
function combinations(name, dimensions) {
  const all = product({ client: CLIENTS, ...dimensions });
  if (ALL) return all;
  const isGenerated = ({ client }) => CLIENTS.includes(GENERATED_FROM[client]);
  const generated = all.filter(isGenerated);
  return [
    ...pairwise(all.filter((variant) => !isGenerated(variant))),
    ...(generated.length > 0 ? [pickByName(generated, name)] : []),
  ];
}

/** As few of the combinations as possible, in which each two values meet. */
function pairwise(all) {
  const missing = new Set(all.flatMap(pairsOf));
  const chosen = [];
  while (missing.size > 0) {
    const count = (variant) => pairsOf(variant).filter((pair) => missing.has(pair)).length;
    const best = all.reduce((found, next) => (count(next) > count(found) ? next : found));
    for (const pair of pairsOf(best)) missing.delete(pair);
    chosen.push(best);
  }
  return chosen;
}

/** Each two values of a combination. A single value counts as a pair. */
function pairsOf(variant) {
  const values = Object.entries(variant).map(([name, value]) => `${name}=${value}`);
  if (values.length === 1) return values;
  return values.flatMap((first, i) => values.slice(i + 1).map((second) => `${first} ${second}`));
}

function product(dimensions) {
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

  /** A number in [0, 1). */
  fraction() {
    this.#drawn += 1;
    return (
      createHash('sha256').update(`${this.#key} ${this.#drawn}`).digest().readUInt32BE() / 2 ** 32
    );
  }

  /** An integer from `low` to `high`, both included. */
  integer(low, high) {
    return low + Math.floor(this.fraction() * (high - low + 1));
  }

  chance(probability) {
    return this.fraction() < probability;
  }
}

class ClientFixture extends Fixture {
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

  /** Follows a stream of `broker.stream`, at the broker or at a proxy before it. */
  subscribe(client, transport, stream, server, more = {}) {
    return this.#agent(client, {
      job: 'subscribe',
      url: stream.url(transport, server),
      token: stream.token,
      ...more,
    });
  }

  /** Follows several streams. `token` opens them. */
  subscribeMany(client, transport, keys, token, server, more = {}) {
    const url = clientUrl(server, transport);
    return this.#agent(client, { job: 'subscribe', url, keys, token, ...more });
  }

  /** Writes into the stream at `key`. `server` is the broker, or a proxy before it. */
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
    const url = `${clientUrl(broker, transport)}?key=${encodeURIComponent(key)}`;
    return this.#agent(client, { job: 'text', url, token, allow_missed: false, ...more });
  }

  manage(client, broker, { server = broker, ...more } = {}) {
    return this.#agent(client, { job: 'manage', url: server.url, api_key: broker.apiKey, ...more });
  }

  /** A proxy for subscribers. The broker's `retry: 1000` becomes ten milliseconds. */
  proxy(...brokers) {
    const proxy = new RecordingProxy(brokers);
    proxy.rewrite = (chunk) =>
      chunk.includes('retry: 1000\n')
        ? Buffer.from(chunk.toString('latin1').replace('retry: 1000\n', 'retry: 0010\n'), 'latin1')
        : chunk;
    return this.#listen(proxy);
  }

  /** A proxy for publishers, whose requests have bodies. */
  uploadProxy(...brokers) {
    return this.#listen(new CuttingProxy(brokers));
  }

  #listen(proxy) {
    proxy.cutMode = () => (this.#random.chance(0.5) ? 'close' : 'reset');
    return this.listen(proxy);
  }
}

/** The URL for subscribers over this transport. */
function clientUrl(server, transport) {
  const base = transport === 'ws' ? server.url.replace('http', 'ws') : server.url;
  return `${base}/api/client/${transport}`;
}

/** Issues a token for several streams. */
export async function tokenFor(broker, keys, more = {}) {
  const { token } = await broker.call('/stream/token', { keys, ...more });
  return token;
}

/**
 * Cuts a subscriber off, until the proxy no longer refuses connections. It also waits until a
 * subscriber that polls has tried to connect.
 */
export async function cutOff(proxy) {
  const before = proxy.refused;
  proxy.refusing = true;
  const isOff = () => {
    proxy.cutAll();
    return proxy.refused > before && proxy.open === 0;
  };
  await until(isOff, 'the subscriber is cut off');
}

/** A stored event as a subscriber receives it. */
export function asSeen({ id, event, data = '' }, transport) {
  // Server-sent events have only one kind of line end.
  return { id, event, data: transport === 'sse' ? data.replace(/\r\n?/g, '\n') : data };
}

/**
 * The agent has received exactly these stored events, once and in order. With `key`, the events of
 * that stream.
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
