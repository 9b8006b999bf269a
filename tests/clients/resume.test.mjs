// Subscribers whose connections break.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertSaw, numberOf, scenario, STORES, SUBSCRIBE, until } from './harness.mjs';
import { CUTS, CutSubscriber } from './cut-subscriber.mjs';

/** More than two heartbeats. */
const SILENCE_MS = 2_500;

scenario(
  'subscribers whose connections are cut dozens of times get every event once, in order',
  { store: STORES },
  async ({ client, fixture, random }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('cut');
    const subscribers = await Promise.all(
      [...SUBSCRIBE, ...SUBSCRIBE].map(async (transport) => {
        const cutSubscriber = new CutSubscriber(transport, await fixture.proxy(broker), random);
        cutSubscriber.subscriber = fixture.subscribe(
          client,
          transport,
          stream,
          cutSubscriber.proxy,
          {
            silence_ms: SILENCE_MS,
          },
        );
        return cutSubscriber;
      }),
    );

    const upload = broker.upload(stream.key);
    let written = 0;
    await until(
      () => {
        for (let burst = random.integer(1, 2); burst > 0; burst -= 1, written += 1) {
          upload.line({
            event: 'token',
            data: `${written}\n${'🦀'.repeat(random.integer(0, 20))}`,
          });
        }
        const cutting = subscribers.filter((cutSubscriber) => !cutSubscriber.done);
        for (const cutSubscriber of cutting) cutSubscriber.cutAtTimes();
        return cutting.length === 0;
      },
      () => `the cuts; so far ${subscribers.map(({ proxy }) => proxy.cuts)}`,
    );
    assert.equal((await upload.finish()).num_events, written);
    await broker.end(stream.key);

    const stored = await broker.events(stream.key);
    assert.equal(stored.length, written + 2);
    for (const { transport, proxy, subscriber } of subscribers) {
      assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'ended' });
      assert.deepEqual(subscriber.missed, []);
      assertSaw(subscriber, stored, transport);
      // A request without a last id comes only from a subscriber that has no event yet.
      const resumed = proxy.gets.filter(
        ({ target, headers }) =>
          headers['last-event-id'] || /[?&](last_?event_?id|after)=/i.test(target),
      );
      assert.ok(
        resumed.length >= CUTS[transport] / 2,
        `${resumed.length} of ${proxy.gets.length} requests resumed`,
      );
    }
  },
  { concurrency: 4 },
);

scenario(
  'heartbeats keep a connection alive',
  { transport: SUBSCRIBE, store: STORES },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('quiet');
    const subscriber = fixture.subscribe(client, transport, stream, proxy, {
      silence_ms: 8_000,
      give_up_after_ms: 9_000,
    });
    await subscriber.until(() => subscriber.events.length === 1, 'the event start');
    // Long enough for a wrong subscriber to disconnect or to give up.
    await sleep(13_000);
    await broker.end(stream.key);
    assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'ended' });
    if (transport !== 'poll') assert.equal(proxy.gets.length, 1);
  },
  { concurrency: 12 },
);

scenario(
  'a subscriber replaces a silent connection by another one',
  { transport: SUBSCRIBE, when: ['before the answer', 'later'] },
  async ({ client, transport, when, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('silent');
    proxy.cutMode = () => 'silence';
    proxy.allowance = () => (when === 'before the answer' && proxy.cuts === 0 ? 0 : Infinity);
    const subscriber = fixture.subscribe(client, transport, stream, proxy, {
      silence_ms: SILENCE_MS,
    });
    await subscriber.until(() => subscriber.events.length === 1, 'the event start');
    // A poll has no connection for a moment after each response.
    const isCut = () => proxy.cutAll() || proxy.cuts > 0;
    if (when === 'later') await until(isCut, 'a connection to cut');
    // A poll may keep its previous connection open beside the current one.
    const cuts = when === 'later' && transport === 'poll' ? proxy.cuts : 1;
    await broker.add(stream.key, [{ event: 'token' }]);
    await subscriber.until(
      () => subscriber.events.length === 2,
      'the event that was written during the silence',
    );
    await broker.end(stream.key);
    assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'ended' });
    assert.equal(proxy.cuts, cuts);
    assertSaw(subscriber, await broker.events(stream.key), transport);
  },
  { concurrency: 16 },
);

scenario(
  'a subscriber fails when the broker does not come back',
  { transport: SUBSCRIBE, when: ['from the start', 'later'] },
  async ({ client, transport, when, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('gone');
    proxy.refusing = when === 'from the start';
    const subscriber = fixture.subscribe(client, transport, stream, proxy, {
      give_up_after_ms: 4_000,
    });
    if (when === 'later') {
      await subscriber.until(() => subscriber.events.length === 1, 'the event start');
      await broker.kill();
    }
    const outcome = await subscriber.over();
    assert.equal(outcome.type, 'failed');
    assert.equal(outcome.code, 'disconnected');
  },
  { concurrency: 16 },
);

scenario(
  'an event that is lost on the way is an error',
  { transport: SUBSCRIBE },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('gap');
    const subscriber = fixture.subscribe(client, transport, stream, proxy);
    for (let written = 1; written <= 2; written += 1) {
      await broker.add(stream.key, [{ event: 'token' }]);
      await subscriber.until(() => subscriber.events.length === written + 1, 'an event');
    }
    // The third event gets the id of the fourth.
    const [{ id }] = (await broker.events(stream.key)).slice(-1);
    assert.equal(numberOf(id), 2);
    proxy.rewrite = (chunk) =>
      Buffer.from(chunk.toString('latin1').replace(/(\d{13})-3/, '$1-4'), 'latin1');
    await broker.add(stream.key, [{ event: 'token' }]);
    const outcome = await subscriber.over();
    assert.equal(outcome.code, 'gap');
    assert.equal(subscriber.events.length, 3);
  },
  { concurrency: 8 },
);
