// Subscribers that read more slowly than events come.

import assert from 'node:assert/strict';
import { numberOf, range, scenario, SUBSCRIBE } from './harness.mjs';

const EVENTS = 2_400;
const SIZE = 50_000;
const PAUSE_MS = 8;
/** The system alone may hold more than 30 MB in a socket whose reader is fast at times. */
const MOST_ON_THE_WAY = (EVENTS * SIZE) / 2;
/**
 * Generous, as runtimes let garbage lie about for a while, the longer the busier the machine is.
 */
const MOST_MORE_MEMORY = 3 * EVENTS * SIZE;

scenario(
  'a slow reader holds the broker back and not memory, and gets everything',
  { transport: SUBSCRIBE },
  async ({ client, transport, scene }) => {
    // Without heartbeats, which one who has not read so far can't answer.
    const broker = await scene.broker({ STREAMER_HEARTBEAT: '3600' });
    const proxy = await scene.proxy(broker);
    const stream = await broker.stream('slow');
    const subscriber = scene.subscribe(client, transport, stream, proxy, { pause_ms: PAUSE_MS });
    await subscriber.until(() => subscriber.events.length === 1, 'the event start');
    const before = subscriber.memory;
    let [passed, most, mostOnTheWay] = [0, 0, 0];
    const { answered } = proxy;
    proxy.answered = (connection, chunk) => {
      passed += chunk.length;
      answered.call(proxy, connection, chunk);
    };

    const data = 's'.repeat(SIZE);
    for (let batch = 0; batch < 10; batch += 1)
      await broker.add(stream.key, Array(EVENTS / 10).fill({ event: 'token', data }));
    await broker.end(stream.key);
    await subscriber.until(() => {
      mostOnTheWay = Math.max(mostOnTheWay, passed - subscriber.events.length * SIZE);
      if (subscriber.events.length < EVENTS) most = Math.max(most, subscriber.memory);
      return subscriber.events.length === EVENTS + 2;
    }, 'all events');

    assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'ended' });
    assert.deepEqual(
      subscriber.events.map(({ id }) => numberOf(id)),
      range(0, EVENTS + 2),
    );
    assert.ok(subscriber.events.slice(1, -1).every((event) => event.data === data));
    if (transport !== 'poll') assert.equal(proxy.gets.length, 1);
    assert.ok(
      mostOnTheWay < MOST_ON_THE_WAY,
      `${mostOnTheWay} bytes were taken before they were wanted`,
    );
    assert.ok(most - before < MOST_MORE_MEMORY, `${most - before} bytes of memory more`);
  },
  { concurrency: 4 },
);
