// A page that follows many streams over one connection, with EventSource or WebSocket and without a
// library.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { numberOf, onStores, random, range, until } from './harness.mjs';
import { closed, eventsOf, follow, listen, positionOf, seenBy, settled, streams } from './many.mjs';

const STREAMS = 20;
const CUTS = 24;
const EVENTS = 100;

onStores(
  'a page gets every event of twenty streams once, over one connection that is cut dozens of times',
  async (fixture) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const { keys, address } = await streams(broker, STREAMS, { max_events: 1_000 });
    proxy.allowance = () =>
      proxy.cuts < CUTS && Math.random() < 0.8 ? random(1, 20_000) : Infinity;
    const tab = await fixture.tab();
    await follow(tab, address('sse', proxy));

    const written = new Map(keys.map((key) => [key, 0]));
    const total = STREAMS * EVENTS;
    for (let count = 0; count < total; ) {
      const [key, before] = pick([...written].filter(([, count]) => count < EVENTS));
      const burst = Math.min(random(1, 12), EVENTS - before);
      await broker.add(
        key,
        range(before, before + burst).map((n) => ({
          event: 'token',
          data: `${key} ${n}\n${'🦀'.repeat(random(0, 20))}`,
        })),
      );
      written.set(key, before + burst);
      count += burst;
      while (proxy.cuts < Math.floor((count / total) * CUTS)) {
        assert.ok(
          await tab.evaluate(() => source.readyState !== EventSource.CLOSED),
          'the page has given up',
        );
        if (Math.random() < 0.1) proxy.cutAll();
        await sleep(20);
      }
    }
    assert.ok(proxy.cuts >= CUTS, `${proxy.cuts} cuts`);
    proxy.allowance = () => Infinity;
    // The browser has five of its six connections to the host left.
    assert.equal((await tab.evaluate((url) => ask(url), `${proxy.url}/api/health`)).text, 'OK');
    for (const [n, key] of keys.entries())
      await broker.call(n % 2 ? '/stream/end' : '/stream/cancel', { key });
    await closed(tab);

    const seen = await seenBy(tab);
    for (const key of keys) {
      const stored = (await broker.events(key)).map(({ id, event, data = '' }) => ({
        id,
        event,
        data,
      }));
      assert.equal(stored.length, EVENTS + 2);
      assert.deepEqual(eventsOf(seen, key), stored);
    }
    assert.equal(seen.length, STREAMS * (EVENTS + 2));
    const requests = proxy.gets.filter(({ target }) => target.includes('/sse?'));
    const resumed = requests.map(({ headers }) => headers['last-event-id']).filter(Boolean);
    assert.ok(
      resumed.length >= CUTS / 2,
      `${resumed.length} of ${requests.length} requests resumed`,
    );
    assert.deepEqual(
      [requests.at(-1).status, requests.at(-1).headers['last-event-id']],
      [204, seen.at(-1).lastEventId],
    );
  },
);

onStores(
  'a page continues all of twenty streams at a second node when the first is stopped',
  async (fixture) => {
    const first = await fixture.broker({ STREAMER_DELIVERY: 'shared' });
    const second = await fixture.broker();
    const proxy = await fixture.proxy(first, second);
    const { keys, address } = await streams(second, STREAMS);
    const tab = await fixture.tab();
    await follow(tab, address('sse', proxy));
    const write = async (from, to) => {
      for (const n of range(from, to))
        for (const key of keys) await second.add(key, [{ event: 'token', data: `${n}` }]);
    };
    await write(0, 10);
    first.terminate();
    await write(10, 20);
    await until(() => proxy.gets.at(-1).upstream === second.port, 'the page is at the second node');
    await write(20, 30);
    for (const key of keys) await second.end(key);
    await closed(tab);

    const seen = await seenBy(tab);
    for (const key of keys) {
      assert.deepEqual(
        eventsOf(seen, key).map(({ id }) => numberOf(id)),
        range(0, 32),
      );
      assert.deepEqual(
        eventsOf(seen, key).map(({ data }) => data),
        ['', ...range(0, 30).map(String), ''],
      );
    }
    assert.deepEqual(
      [...new Set(proxy.gets.map(({ upstream }) => upstream))],
      [first.port, second.port],
    );
  },
  ['redis'],
);

onStores(
  'a page gets a missedevents for the stream that lost events, and keeps its other positions',
  async (fixture) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const { keys, address } = await streams(broker, 3, { max_events: 10 });
    const [trimmed, ...others] = keys;
    for (const key of keys)
      await broker.add(
        key,
        range(0, 5).map(() => ({ event: 'token' })),
      );
    const tab = await fixture.tab();
    await follow(tab, address('sse', proxy));
    await tab.waitForFunction(() => seen.length === 18);
    proxy.refusing = true;
    proxy.cutAll();
    await broker.add(
      trimmed,
      range(0, 500).map(() => ({ event: 'token' })),
    );
    for (const key of others) await broker.add(key, [{ event: 'token' }]);
    proxy.refusing = false;
    await tab.waitForFunction(() => seen.some(({ event }) => event === 'missedevents'));
    proxy.cutAll();
    for (const key of keys) await broker.end(key);
    await closed(tab);

    const seen = await seenBy(tab);
    const [last] = eventsOf(seen.slice(0, 18), trimmed).slice(-1);
    const after = eventsOf(seen.slice(18), trimmed);
    // After a cut right behind it, the page may get it again.
    const missed = after.filter(({ event }) => event === 'missedevents');
    const rest = after.filter(({ event }) => event !== 'missedevents');
    const first = numberOf(rest[0].id);
    for (const { id, data } of missed) {
      assert.equal(id, last.id);
      assert.deepEqual(JSON.parse(data), { after: last.id, first: rest[0].id, missed: first - 6 });
    }
    assert.ok(missed.length > 0 && first > 6);
    assert.deepEqual(
      rest.map(({ id }) => numberOf(id)),
      range(first, 507),
    );
    for (const key of others)
      assert.deepEqual(
        eventsOf(seen, key).map(({ id }) => numberOf(id)),
        range(0, 8),
      );
  },
);

onStores(
  'a page with an event names filter gets only alerts, and does not request others again',
  async (fixture) => {
    const broker = await fixture.broker({ STREAMER_HEARTBEAT: '1' });
    const proxy = await fixture.proxy(broker);
    const { keys, address } = await streams(broker, 2);
    const [busy, quiet] = keys;
    const sent = listen(proxy);
    const tab = await fixture.tab();
    await follow(tab, address('sse', proxy, { events: 'al*' }));
    await broker.add(busy, [{ event: 'alert', data: '1' }, { event: 'metric' }]);
    await broker.add(quiet, [{ event: 'alert', data: '2' }]);
    await tab.waitForFunction(() => seen.length === 4);
    const { ids } = await broker.add(
      busy,
      range(0, 50).map(() => ({ event: 'metric' })),
    );

    // A frame with only an id dispatches no event. The browser's next request shows its effect.
    await until(
      () => sent.bytes.includes(`:${ids.at(-1)}`),
      'its position after the filtered events',
    );
    await settled(tab, proxy);
    const requests = proxy.gets.length;
    proxy.cutAll();
    await until(() => proxy.gets.length > requests, 'the page comes back');
    const { key, id } = positionOf(proxy.gets.at(-1).headers['last-event-id']);
    assert.deepEqual([key, id], [busy, ids.at(-1)]);
    await broker.add(busy, [{ event: 'metric' }, { event: 'alert', data: '3' }]);
    for (const key of keys) await broker.end(key);
    await closed(tab);

    const seen = await seenBy(tab);
    assert.deepEqual(
      eventsOf(seen, busy).map(({ id, event, data }) => [numberOf(id), event, data]),
      [
        [0, 'start', ''],
        [1, 'alert', '1'],
        [54, 'alert', '3'],
        [55, 'end', ''],
      ],
    );
    assert.deepEqual(
      eventsOf(seen, quiet).map(({ id, event }) => [numberOf(id), event]),
      [
        [0, 'start'],
        [1, 'alert'],
        [2, 'end'],
      ],
    );
  },
);

onStores(
  'a page that starts now has that position, also when it is cut off before the first event',
  async (fixture) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const { keys, address } = await streams(broker, 3);
    for (const key of keys) await broker.add(key, [{ event: 'token', data: 'before' }]);
    const sent = listen(proxy);
    const tab = await fixture.tab();
    await follow(tab, address('sse', proxy, { from: 'now' }));
    await until(() => /\nid: .*,~.*\n\n/.test(sent.bytes), 'its position');
    await settled(tab, proxy);
    proxy.refusing = true;
    proxy.cutAll();
    for (const key of keys) await broker.add(key, [{ event: 'token', data: 'meanwhile' }]);
    proxy.refusing = false;
    await tab.waitForFunction(() => seen.length === 3);
    for (const key of keys) await broker.end(key);
    await closed(tab);
    const seen = await seenBy(tab);
    for (const key of keys) {
      assert.deepEqual(
        eventsOf(seen, key).map(({ id, data }) => [numberOf(id), data]),
        [
          [2, 'meanwhile'],
          [3, ''],
        ],
      );
    }
  },
);

onStores('a page waits for streams that do not exist, also after a cut', async (fixture) => {
  const broker = await fixture.broker();
  const proxy = await fixture.proxy(broker);
  const { keys, prefix, address } = await streams(broker, 1);
  const [there] = keys;
  const later = [`${prefix}sooner`, `${prefix}later`];
  const tab = await fixture.tab();
  await follow(tab, address('sse', proxy, { wait: 'true', from: '-5', key: later }));
  await tab.waitForFunction(() => seen.length === 1);
  await broker.stream(later[0]);
  await tab.waitForFunction(() => seen.length === 2);
  proxy.cutAll();
  await until(() => proxy.gets.length === 2, 'the page comes back');
  await broker.add(there, [{ event: 'token' }]);
  await tab.waitForFunction(() => seen.length === 3);
  await broker.stream(later[1]);
  for (const key of [there, ...later]) await broker.end(key);
  await closed(tab);
  const seen = await seenBy(tab);
  assert.deepEqual(
    eventsOf(seen, there).map(({ event }) => event),
    ['start', 'token', 'end'],
  );
  for (const key of later)
    assert.deepEqual(
      eventsOf(seen, key).map(({ event }) => event),
      ['start', 'end'],
    );
  assert.equal(seen.length, 7);
});

onStores('a page adds and drops streams over its WebSocket', async (fixture) => {
  const broker = await fixture.broker();
  const { keys, address } = await streams(broker, 3);
  const [kept, added, dropped] = keys;
  const tab = await fixture.tab();
  await tab.evaluate((url) => followSocket(url), address('ws', broker, {}, [kept, dropped]));
  await tab.waitForFunction(() => seen.length === 1);
  const send = (op) => tab.evaluate((op) => socket.send(JSON.stringify(op)), op);
  const answer = (name) =>
    tab.waitForFunction((name) => seen.flat().some(({ op }) => op === name), name);

  const { ids } = await broker.add(added, [
    { event: 'token', data: 'skipped' },
    { event: 'token', data: 'first' },
  ]);
  await send({ op: 'subscribe', key: added, after: ids[0] });
  await send({ op: 'unsubscribe', key: dropped });
  await answer('unsubscribed');
  for (const key of keys) await broker.add(key, [{ event: 'token', data: 'last' }]);
  await send({ op: 'subscribe', key: 'of somebody else' });
  await answer('error');
  for (const key of keys) await broker.end(key);
  await tab.waitForFunction(() => states.length === 1);

  const messages = (await tab.evaluate(() => seen)).flat();
  assert.deepEqual(
    messages
      .filter(({ op }) => op)
      .map(({ op, key, after, code }) => ({ op, key, after: after && numberOf(after), code })),
    [
      { op: 'subscribed', key: added, after: 1, code: undefined },
      { op: 'unsubscribed', key: dropped, after: 0, code: undefined },
      { op: 'error', key: 'of somebody else', after: undefined, code: 'forbidden' },
    ],
  );
  const of = (key) =>
    messages
      .filter((message) => !message.op && message.key === key)
      .map(({ id, event, data }) => [numberOf(id), event, data]);
  assert.deepEqual(of(kept), [
    [0, 'start', undefined],
    [1, 'token', 'last'],
    [2, 'end', undefined],
  ]);
  assert.deepEqual(of(added), [
    [2, 'token', 'first'],
    [3, 'token', 'last'],
    [4, 'end', undefined],
  ]);
  assert.deepEqual(of(dropped), [[0, 'start', undefined]]);
  assert.ok(
    messages.findIndex(({ op }) => op === 'subscribed') <
      messages.findIndex(({ key, op }) => key === added && !op),
  );
  assert.deepEqual(await tab.evaluate(() => states.map(({ code, wasClean }) => [code, wasClean])), [
    [1000, true],
  ]);
});

const pick = (list) => list[random(0, list.length - 1)];
