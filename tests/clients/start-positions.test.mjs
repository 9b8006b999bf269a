// Where subscribers of several streams start, and where they continue.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertSaw, cutOff, scenario, STORES, SUBSCRIBE, tokenFor, until } from './harness.mjs';

scenario(
  'a subscriber waits for a stream that does not exist yet, and gets all its events',
  { transport: SUBSCRIBE, store: ['memory', 'shared'], from: ['start', 'now'] },
  async ({ client, transport, from, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    await broker.stream('there');
    const token = await tokenFor(broker, ['there', 'later'], { wait: true });
    const subscriber = fixture.subscribeMany(client, transport, ['there', 'later'], token, proxy, {
      from,
      wait: true,
    });
    const knows = async () => /later:|~/.test((await subscriber.ask({ op: 'cursor' })).cursor);
    await subscriber.until(
      from === 'now' ? knows : () => subscriber.events.length === 1,
      'the start positions',
    );
    // After a cut it still waits.
    const requests = proxy.gets.length;
    proxy.cutAll();
    await until(() => proxy.gets.length > requests && proxy.open > 0, 'another connection');
    await cutOff(proxy);
    await broker.stream('later');
    await broker.add('later', [{ event: 'token', data: 'while it was away' }]);
    proxy.refusing = false;
    await subscriber.until(
      () => subscriber.events.at(-1)?.key === 'later',
      'the stream that was waited for',
    );
    for (const key of ['there', 'later']) await broker.end(key);
    assert.deepEqual(await subscriber.over(), {
      type: 'finished',
      statuses: { there: 'ended', later: 'ended' },
    });
    assert.deepEqual(subscriber.missed, []);
    assertSaw(
      subscriber,
      (await broker.events('there')).slice(from === 'now' ? 1 : 0),
      transport,
      'there',
    );
    assertSaw(subscriber, await broker.events('later'), transport, 'later');
  },
  { concurrency: 8 },
);

const START_POSITIONS = {
  start: () => ['start', 0],
  now: () => ['now', 5],
  'the last two': () => ['-2', 3],
  'a time': (stored) => [stored[3].time, 3],
};

scenario(
  'streams start at their start positions, also when the connection breaks before the first event',
  { transport: SUBSCRIBE, start: Object.keys(START_POSITIONS) },
  async ({ client, transport, start, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    for (const key of ['a', 'b']) await broker.stream(key);
    for (let written = 0; written < 4; written += 1) {
      // The streams get different times.
      await sleep(5);
      await broker.add('a', [{ event: 'token' }]);
    }
    const [from, first] = START_POSITIONS[start](await broker.events('a'));
    const subscriber = fixture.subscribeMany(
      client,
      transport,
      ['a', 'b'],
      await tokenFor(broker, ['a', 'b']),
      proxy,
      { from },
    );
    // The cursor names the positions of several streams, or has them in an opaque item.
    await subscriber.until(
      async () => /b:|~/.test((await subscriber.ask({ op: 'cursor' })).cursor),
      'the start positions',
    );
    await cutOff(proxy);
    await broker.add('a', [{ event: 'token' }]);
    for (const key of ['a', 'b']) await broker.end(key);
    proxy.refusing = false;
    assert.deepEqual(await subscriber.over(), {
      type: 'finished',
      statuses: { a: 'ended', b: 'ended' },
    });
    assertSaw(subscriber, (await broker.events('a')).slice(first), transport, 'a');
  },
  { concurrency: 12 },
);

scenario(
  'another subscription continues at the cursor of the first, over any two transports',
  { first: SUBSCRIBE, second: SUBSCRIBE },
  async ({ client, first, second, fixture }) => {
    const broker = await fixture.broker();
    const keys = ['a', 'b', 'c'];
    for (const key of keys) {
      await broker.stream(key);
      await broker.add(key, [{ event: 'token' }, { event: 'token' }]);
    }
    await broker.end('c');
    const token = await tokenFor(broker, keys);
    const before = fixture.subscribeMany(client, first, keys, token, broker);
    await before.until(() => before.events.length === 10, 'the existing events');
    const { cursor: after } = await before.ask({ op: 'cursor' });
    before.send({ op: 'stop' });
    assert.deepEqual(await before.over(), { type: 'stopped' });
    await broker.add('a', [{ event: 'token' }]);
    await broker.end('a');
    await broker.call('/stream/cancel', { key: 'b' });
    const later = fixture.subscribeMany(client, second, keys, token, broker, { after });
    assert.deepEqual(await later.over(), {
      type: 'finished',
      statuses: { a: 'ended', b: 'cancelled', c: null },
    });
    assertSaw(later, (await broker.events('a')).slice(3), second, 'a');
    assertSaw(later, (await broker.events('b')).slice(3), second, 'b');
    assertSaw(later, [], second, 'c');
  },
  { concurrency: 12 },
);

scenario(
  '`after` may be a map from keys to ids',
  { transport: SUBSCRIBE },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    for (const key of ['a', 'b']) {
      await broker.stream(key);
      await broker.add(key, [{ event: 'token' }]);
      await broker.end(key);
    }
    const stored = await broker.events('a');
    const token = await tokenFor(broker, ['a', 'b']);
    const subscriber = fixture.subscribeMany(client, transport, ['a', 'b'], token, broker, {
      after: { a: stored[0].id },
    });
    assert.equal((await subscriber.over()).type, 'finished');
    assertSaw(subscriber, stored.slice(1), transport, 'a');
    assertSaw(subscriber, await broker.events('b'), transport, 'b');
  },
  { concurrency: 12 },
);

scenario(
  'a stream that was replaced is reported as gone, and the others go on',
  { transport: SUBSCRIBE, store: STORES },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    for (const key of ['kept', 'gone']) await broker.stream(key);
    const token = await tokenFor(broker, ['kept', 'gone']);
    const subscriber = fixture.subscribeMany(client, transport, ['kept', 'gone'], token, proxy);
    await subscriber.until(() => subscriber.events.length === 2, 'both first events');
    await cutOff(proxy);
    const [{ id: after }] = await broker.events('gone');
    await broker.end('gone');
    await broker.stream('gone');
    proxy.refusing = false;
    await subscriber.until(() => subscriber.missed.length === 1, 'the report of it');
    await broker.end('kept');
    assert.deepEqual(await subscriber.over(), {
      type: 'finished',
      statuses: { kept: 'ended', gone: 'gone' },
    });
    assert.deepEqual(subscriber.missed, [
      { type: 'missed', key: 'gone', after, first: null, missed: null },
    ]);
    assertSaw(subscriber, await broker.events('kept'), transport, 'kept');
  },
  { concurrency: 12 },
);

scenario(
  'a disconnect by an operator ends the subscription over WebSocket',
  { transport: ['ws'], store: STORES },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const keys = ['a', 'b'];
    for (const key of keys) await broker.stream(key);
    const subscriber = fixture.subscribeMany(
      client,
      transport,
      keys,
      await tokenFor(broker, keys),
      broker,
    );
    await subscriber.until(() => subscriber.events.length === 2, 'both first events');
    const [{ id }] = await broker.call('/clients');
    const headers = { 'X-API-KEY': broker.apiKey };
    assert.equal(
      (await fetch(`${broker.url}/api/clients/${id}`, { method: 'DELETE', headers })).status,
      200,
    );
    const { type, code } = await subscriber.over();
    assert.deepEqual([type, code], ['failed', 'disconnected-by-operator']);
  },
  { concurrency: 12 },
);
