// Events that are no longer stored when a subscriber needs them.

import assert from 'node:assert/strict';
import {
  asSeen,
  assertSaw,
  cutOff,
  numberOf,
  range,
  scenario,
  STORES,
  SUBSCRIBE,
} from './harness.mjs';

scenario(
  'a subscriber that was away too long gets one missedevents, and then the next events',
  { transport: SUBSCRIBE, store: STORES },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('trimmed', { max_events: 10 });
    const subscriber = fixture.subscribe(client, transport, stream, proxy);
    await broker.add(stream.key, [{ event: 'token' }]);
    await subscriber.until(() => subscriber.events.length === 2, 'the first two events');
    await cutOff(proxy);
    for (let batch = 0; batch < 20; batch += 1)
      await broker.add(stream.key, Array(100).fill({ event: 'token', data: 'unseen' }));
    const [first] = await broker.events(stream.key);
    assert.ok(numberOf(first.id) > 2, 'the store has trimmed nothing');
    proxy.refusing = false;
    await subscriber.until(() => subscriber.events.at(-1).data === 'unseen', 'what follows');
    await broker.end(stream.key);

    assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'ended' });
    const after = subscriber.events[1].id;
    assert.deepEqual(subscriber.missed, [
      { type: 'missed', after, first: first.id, missed: numberOf(first.id) - 2 },
    ]);
    assert.equal(
      subscriber.messages.findIndex(({ type }) => type === 'missed'),
      2,
    );
    assert.deepEqual(
      subscriber.events.slice(2).map(({ id }) => numberOf(id)),
      range(numberOf(first.id), 2_003),
    );
  },
  { concurrency: 8 },
);

scenario(
  'a subscriber that comes too late for the first events gets a missedevents',
  { transport: SUBSCRIBE },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('trimmed', { max_events: 10 });
    for (let batch = 0; batch < 20; batch += 1)
      await broker.add(stream.key, Array(100).fill({ event: 'token' }));
    await broker.end(stream.key);
    const stored = await broker.events(stream.key);
    const subscriber = fixture.subscribe(client, transport, stream, broker);
    assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'ended' });
    const [{ id }] = stored;
    assert.deepEqual(subscriber.messages[0], {
      type: 'missed',
      after: null,
      first: id,
      missed: numberOf(id),
    });
    assert.equal(subscriber.missed.length, 1);
    assertSaw(subscriber, stored, transport);
  },
  { concurrency: 8 },
);

scenario(
  'a subscriber whose last event the store has lost gets the stream from its first event',
  { transport: SUBSCRIBE },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('lost');
    await broker.add(stream.key, [{ event: 'token' }]);
    const stored = await broker.events(stream.key);
    const after = stored.at(-1).id.replace(/-1$/, '-999');
    const subscriber = fixture.subscribe(client, transport, stream, broker, { after });
    await subscriber.until(() => subscriber.events.length === 2, 'the stream');
    assert.deepEqual(subscriber.messages, [
      { type: 'missed', after, first: stored[0].id, missed: null },
      ...stored.map((event) => ({ type: 'event', ...asSeen(event, transport) })),
    ]);
  },
  { concurrency: 8 },
);

scenario(
  'a subscription fails when the store has lost its stream, also when another has its key',
  { transport: SUBSCRIBE, store: ['exclusive'], key: ['left empty', 'taken anew'] },
  async ({ client, transport, key, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('flushed');
    const subscriber = fixture.subscribe(client, transport, stream, proxy);
    await subscriber.until(() => subscriber.events.length === 1, 'the event start');
    await cutOff(proxy);
    await (await fixture.redis()).command('FLUSHALL');
    if (key === 'taken anew') await broker.stream(stream.key);
    proxy.refusing = false;
    const outcome = await subscriber.over();
    assert.equal(outcome.type, 'failed');
    // The token was for the earlier stream.
    assert.equal(outcome.code, key === 'taken anew' ? 'forbidden' : 'stream-not-found');
  },
  { concurrency: 16 },
);
