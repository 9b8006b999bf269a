// Subscribers that read slower than events come.

import assert from 'node:assert/strict';
import { numberOf, range, scenario, SUBSCRIBE } from './harness.mjs';

const EVENTS = 1_200;
const SIZE = 100_000;
const PAUSE_MS = 8;
/** A socket whose reader is fast at times may buffer more than 30 MB in the system alone. */
const MAX_BUFFERED = (EVENTS * SIZE) / 2;
/** Generous, because a runtime keeps garbage for a while, and longer on a busy machine. */
const MAX_MEMORY_GROWTH = 3 * EVENTS * SIZE;

scenario(
  'a slow reader slows the broker down, does not fill the memory, and gets all events',
  { transport: SUBSCRIBE },
  async ({ client, transport, fixture }) => {
    // Without heartbeats, because a subscriber that does not read can't answer them.
    const broker = await fixture.broker({ STREAMER_HEARTBEAT: '3600' });
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('slow');
    const subscriber = fixture.subscribe(client, transport, stream, proxy, { pause_ms: PAUSE_MS });
    await subscriber.until(() => subscriber.events.length === 1, 'the event start');
    const before = subscriber.memory;
    let [passed, most, mostBuffered] = [0, 0, 0];
    const { onResponse } = proxy;
    proxy.onResponse = (connection, chunk) => {
      passed += chunk.length;
      onResponse.call(proxy, connection, chunk);
    };

    const data = 's'.repeat(SIZE);
    for (let batch = 0; batch < 10; batch += 1)
      await broker.add(stream.key, Array(EVENTS / 10).fill({ event: 'token', data }));
    await broker.end(stream.key);
    await subscriber.until(() => {
      mostBuffered = Math.max(mostBuffered, passed - subscriber.events.length * SIZE);
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
    assert.ok(mostBuffered < MAX_BUFFERED, `${mostBuffered} bytes were read ahead`);
    assert.ok(most - before < MAX_MEMORY_GROWTH, `${most - before} bytes of memory more`);
  },
  { concurrency: 4 },
);
