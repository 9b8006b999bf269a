// Several streams over one connection that breaks.

import assert from 'node:assert/strict';
import { assertSaw, range, scenario, STORES, SUBSCRIBE, tokenFor, until } from './harness.mjs';
import { CutSubscriber } from './cut-subscriber.mjs';

/** More than two heartbeats. */
const SILENCE_MS = 2_500;

scenario(
  'over one connection that is cut dozens of times, every event of each stream comes once',
  { streams: [1, 2, 20], store: STORES },
  async ({ client, streams, store, fixture, random }) => {
    // With exclusive delivery a connection to the store is free only after the broker has noticed
    // that its subscriber has left.
    const broker = await fixture.broker(store === 'exclusive' ? { STREAMER_REDIS_POOL: '8' } : {});
    const keys = range(0, streams).map((number) => `stream, number ${number}: ü/🦀!~`);
    for (const key of keys) await broker.stream(key);
    const token = await tokenFor(broker, keys);
    const subscribers = await Promise.all(
      SUBSCRIBE.map(async (transport) => {
        const cutSubscriber = new CutSubscriber(transport, await fixture.proxy(broker), random);
        cutSubscriber.subscriber = fixture.subscribeMany(
          client,
          transport,
          keys,
          token,
          cutSubscriber.proxy,
          {
            silence_ms: SILENCE_MS,
          },
        );
        return cutSubscriber;
      }),
    );

    const uploads = new Map(keys.map((key) => [key, broker.upload(key)]));
    const finish = async (key) => {
      const upload = uploads.get(key);
      uploads.delete(key);
      await upload.finish();
      await broker.end(key);
    };
    // Some streams end while the others go on.
    const early = keys.slice(0, Math.floor(streams / 2));
    let written = 0;
    await until(
      async () => {
        const open = [...uploads];
        for (let burst = random.integer(1, 3); burst > 0; burst -= 1, written += 1) {
          const [, upload] = open[random.integer(0, open.length - 1)];
          upload.line({
            event: 'token',
            data: `${written}\n${'🦀'.repeat(random.integer(0, 20))}`,
          });
        }
        const cutting = subscribers.filter((cutSubscriber) => !cutSubscriber.done);
        for (const cutSubscriber of cutting) cutSubscriber.cutAtTimes();
        const cuts = subscribers.reduce((sum, { proxy }) => sum + proxy.cuts, 0);
        if (early.length > 0 && cuts > 8 && random.chance(0.2)) await finish(early.pop());
        return cutting.length === 0;
      },
      () => `the cuts; so far ${subscribers.map(({ proxy }) => proxy.cuts)}`,
    );
    for (const key of [...uploads.keys()]) await finish(key);

    const stored = await Promise.all(keys.map(async (key) => [key, await broker.events(key)]));
    const statuses = Object.fromEntries(keys.map((key) => [key, 'ended']));
    for (const { transport, subscriber } of subscribers) {
      assert.deepEqual(await subscriber.over(), { type: 'finished', statuses });
      assert.deepEqual(subscriber.missed, []);
      assert.equal(
        subscriber.events.length,
        stored.reduce((sum, [, events]) => sum + events.length, 0),
      );
      for (const [key, events] of stored) assertSaw(subscriber, events, transport, key);
    }
  },
  { concurrency: 4 },
);

scenario(
  'the event names filter leaves out other events, and nothing else',
  { transport: SUBSCRIBE, store: STORES },
  async ({ client, transport, fixture, random }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const keys = ['a', 'b'];
    for (const key of keys) await broker.stream(key);
    const names = ['alert', 'alerts', 'metric', 'metric.cpu', 'Metric', 'token'];
    const matches = (event) => /^(start|end|cancel|alert|metric.*)$/.test(event);
    const subscriber = fixture.subscribeMany(
      client,
      transport,
      keys,
      await tokenFor(broker, keys),
      proxy,
      { events: ['alert', 'metric*'] },
    );
    const count = () => subscriber.events.length;
    await subscriber.until(() => count() === 2, 'both first events');
    for (let round = 0; round < 4; round += 1) {
      for (const key of keys) {
        const events = range(0, 40).map(() => ({
          event: names[random.integer(0, names.length - 1)],
          data: `${round}`,
        }));
        await broker.add(key, [...events, { event: 'alert', data: 'last' }]);
      }
      await subscriber.until(
        () => subscriber.events.filter(({ data }) => data === 'last').length === 2 * (round + 1),
        'the round',
      );
      proxy.cutAll();
    }
    await broker.end('a');
    await broker.call('/stream/cancel', { key: 'b' });
    assert.deepEqual(await subscriber.over(), {
      type: 'finished',
      statuses: { a: 'ended', b: 'cancelled' },
    });
    for (const key of keys) {
      assertSaw(
        subscriber,
        (await broker.events(key)).filter(({ event }) => matches(event)),
        transport,
        key,
      );
    }
  },
  { concurrency: 8 },
);

scenario(
  'streams are added and dropped while others are followed, also after a cut',
  { transport: SUBSCRIBE, store: STORES },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    for (const key of ['chat-a', 'chat-b', 'chat-c', 'other']) await broker.stream(key);
    const { token } = await broker.call('/stream/token', { prefix: 'chat-' });
    const subscriber = fixture.subscribeMany(client, transport, ['chat-a', 'chat-b'], token, proxy);
    const seen = (key, data) =>
      subscriber.events.some((event) => event.key === key && event.data === data);
    const write = async (key, data) => {
      await broker.add(key, [{ event: 'token', data }]);
      await subscriber.until(() => seen(key, data), `${data} of ${key}`);
    };
    await write('chat-a', '1');
    await write('chat-b', '1');
    await broker.add('chat-c', [{ event: 'token', data: 'unseen' }]);
    const [, unseen] = await broker.events('chat-c');
    assert.deepEqual(await subscriber.ask({ op: 'add', key: 'chat-c', after: unseen.id }), {
      type: 'added',
      key: 'chat-c',
    });
    assert.deepEqual(await subscriber.ask({ op: 'add', key: 'other' }), {
      type: 'refused',
      key: 'other',
      code: 'forbidden',
    });
    assert.deepEqual(await subscriber.ask({ op: 'add', key: 'chat-a' }), {
      type: 'refused',
      key: 'chat-a',
      code: 'already-subscribed',
    });
    await write('chat-c', '2');
    assert.deepEqual(await subscriber.ask({ op: 'drop', key: 'chat-b' }), {
      type: 'dropped',
      key: 'chat-b',
    });
    assert.deepEqual(await subscriber.ask({ op: 'drop', key: 'chat-b' }), {
      type: 'refused',
      key: 'chat-b',
      code: 'not-subscribed',
    });
    await broker.add('chat-b', [{ event: 'token', data: 'dropped' }]);
    await write('chat-a', '2');
    proxy.cutAll();
    await write('chat-a', '3');
    await write('chat-c', '3');
    for (const key of ['chat-a', 'chat-c']) await broker.end(key);
    assert.deepEqual(await subscriber.over(), {
      type: 'finished',
      statuses: { 'chat-a': 'ended', 'chat-c': 'ended' },
    });
    assertSaw(subscriber, await broker.events('chat-a'), transport, 'chat-a');
    assertSaw(subscriber, (await broker.events('chat-b')).slice(0, 2), transport, 'chat-b');
    assertSaw(subscriber, (await broker.events('chat-c')).slice(2), transport, 'chat-c');
  },
  { concurrency: 8 },
);

scenario(
  'a stream that is added again starts again',
  { transport: SUBSCRIBE },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    for (const key of ['a', 'b']) await broker.stream(key);
    const subscriber = fixture.subscribeMany(
      client,
      transport,
      ['a', 'b'],
      await tokenFor(broker, ['a', 'b']),
      broker,
    );
    await broker.add('b', [{ event: 'token' }]);
    await subscriber.until(() => subscriber.events.length === 3, 'all of both');
    assert.equal((await subscriber.ask({ op: 'drop', key: 'b' })).type, 'dropped');
    assert.equal((await subscriber.ask({ op: 'add', key: 'b' })).type, 'added');
    for (const key of ['a', 'b']) await broker.end(key);
    assert.equal((await subscriber.over()).type, 'finished');
    const stored = await broker.events('b');
    assertSaw(subscriber, [...stored.slice(0, 2), ...stored], transport, 'b');
  },
  { concurrency: 8 },
);
