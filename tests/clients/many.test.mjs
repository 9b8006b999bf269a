// Several streams over one connection that breaks.

import assert from 'node:assert/strict';
import { assertSaw, range, scenario, STORES, SUBSCRIBE, tokenFor, until } from './harness.mjs';
import { Room } from './rooms.mjs';

/** More than two heartbeats. */
const SILENCE_MS = 2_500;

scenario(
  'of streams over one connection that is cut dozens of times every event comes once, in its stream’s order',
  { streams: [1, 2, 20], store: STORES },
  async ({ client, streams, store, scene, random }) => {
    // In exclusive delivery a connection to the store is not free before the broker has noticed
    // that its client is gone.
    const broker = await scene.broker(store === 'exclusive' ? { STREAMER_REDIS_POOL: '8' } : {});
    const keys = range(0, streams).map((number) => `stream, number ${number}: ü/🦀!~`);
    for (const key of keys) await broker.stream(key);
    const token = await tokenFor(broker, keys);
    const rooms = await Promise.all(
      SUBSCRIBE.map(async (transport) => {
        const room = new Room(transport, await scene.proxy(broker), random);
        room.subscriber = scene.subscribeMany(client, transport, keys, token, room.proxy, {
          silence_ms: SILENCE_MS,
        });
        return room;
      }),
    );

    const uploads = new Map(keys.map((key) => [key, broker.upload(key)]));
    const finish = async (key) => {
      const upload = uploads.get(key);
      uploads.delete(key);
      await upload.finish();
      await broker.end(key);
    };
    // Some are over while the others go on.
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
        const cutting = rooms.filter((room) => !room.done);
        for (const room of cutting) room.cutAtTimes();
        const cuts = rooms.reduce((sum, { proxy }) => sum + proxy.cuts, 0);
        if (early.length > 0 && cuts > 8 && random.chance(0.2)) await finish(early.pop());
        return cutting.length === 0;
      },
      () => `the cuts; so far ${rooms.map(({ proxy }) => proxy.cuts)}`,
    );
    for (const key of [...uploads.keys()]) await finish(key);

    const stored = await Promise.all(keys.map(async (key) => [key, await broker.events(key)]));
    const statuses = Object.fromEntries(keys.map((key) => [key, 'ended']));
    for (const { transport, subscriber } of rooms) {
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
  'what is not asked for does not come, and nothing else is left out',
  { transport: SUBSCRIBE, store: STORES },
  async ({ client, transport, scene, random }) => {
    const broker = await scene.broker();
    const proxy = await scene.proxy(broker);
    const keys = ['a', 'b'];
    for (const key of keys) await broker.stream(key);
    const names = ['alert', 'alerts', 'metric', 'metric.cpu', 'Metric', 'token'];
    const wanted = (event) => /^(start|end|cancel|alert|metric.*)$/.test(event);
    const subscriber = scene.subscribeMany(
      client,
      transport,
      keys,
      await tokenFor(broker, keys),
      proxy,
      { events: ['alert', 'metric*'] },
    );
    const count = () => subscriber.events.length;
    await subscriber.until(() => count() === 2, 'both beginnings');
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
        (await broker.events(key)).filter(({ event }) => wanted(event)),
        transport,
        key,
      );
    }
  },
  { concurrency: 8 },
);

scenario(
  'streams are added and dropped while others are followed, and stay so after a cut',
  { transport: SUBSCRIBE, store: STORES },
  async ({ client, transport, scene }) => {
    const broker = await scene.broker();
    const proxy = await scene.proxy(broker);
    for (const key of ['room-a', 'room-b', 'room-c', 'other']) await broker.stream(key);
    const { token } = await broker.call('/stream/token', { prefix: 'room-' });
    const subscriber = scene.subscribeMany(client, transport, ['room-a', 'room-b'], token, proxy);
    const seen = (key, data) =>
      subscriber.events.some((event) => event.key === key && event.data === data);
    const write = async (key, data) => {
      await broker.add(key, [{ event: 'token', data }]);
      await subscriber.until(() => seen(key, data), `${data} of ${key}`);
    };
    await write('room-a', '1');
    await write('room-b', '1');
    await broker.add('room-c', [{ event: 'token', data: 'unseen' }]);
    const [, unseen] = await broker.events('room-c');
    assert.deepEqual(await subscriber.ask({ op: 'add', key: 'room-c', after: unseen.id }), {
      type: 'added',
      key: 'room-c',
    });
    assert.deepEqual(await subscriber.ask({ op: 'add', key: 'other' }), {
      type: 'refused',
      key: 'other',
      code: 'forbidden',
    });
    assert.deepEqual(await subscriber.ask({ op: 'add', key: 'room-a' }), {
      type: 'refused',
      key: 'room-a',
      code: 'already-subscribed',
    });
    await write('room-c', '2');
    assert.deepEqual(await subscriber.ask({ op: 'drop', key: 'room-b' }), {
      type: 'dropped',
      key: 'room-b',
    });
    assert.deepEqual(await subscriber.ask({ op: 'drop', key: 'room-b' }), {
      type: 'refused',
      key: 'room-b',
      code: 'not-subscribed',
    });
    await broker.add('room-b', [{ event: 'token', data: 'dropped' }]);
    await write('room-a', '2');
    proxy.cutAll();
    await write('room-a', '3');
    await write('room-c', '3');
    for (const key of ['room-a', 'room-c']) await broker.end(key);
    assert.deepEqual(await subscriber.over(), {
      type: 'finished',
      statuses: { 'room-a': 'ended', 'room-c': 'ended' },
    });
    assertSaw(subscriber, await broker.events('room-a'), transport, 'room-a');
    assertSaw(subscriber, (await broker.events('room-b')).slice(0, 2), transport, 'room-b');
    assertSaw(subscriber, (await broker.events('room-c')).slice(2), transport, 'room-c');
  },
  { concurrency: 8 },
);

scenario(
  'a stream that was added again begins anew',
  { transport: SUBSCRIBE },
  async ({ client, transport, scene }) => {
    const broker = await scene.broker();
    for (const key of ['a', 'b']) await broker.stream(key);
    const subscriber = scene.subscribeMany(
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
