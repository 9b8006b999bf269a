// From a writer to its readers.

import assert from 'node:assert/strict';
import { AWKWARD_KEY, asStored, EVENTS } from './events.mjs';
import { assertSaw, numberOf, PUBLISH, range, scenario, STORES, SUBSCRIBE } from './harness.mjs';

scenario(
  'every subscriber receives every event once, in order and unchanged',
  { transport: PUBLISH, store: STORES },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream(AWKWARD_KEY);
    const live = SUBSCRIBE.map((kind) => fixture.subscribe(client, kind, stream, broker));
    for (const subscriber of live)
      await subscriber.until(() => subscriber.events.length === 1, 'the event start');

    const publisher = fixture.publish(client, transport, stream.key, broker);
    for (const event of EVENTS) publisher.send({ op: 'write', ...event });
    publisher.send({ op: 'flush' });
    await publisher.until(() => publisher.flushes === 1, 'the flush');
    assert.equal(numberOf((await broker.info(stream.key)).last_id), EVENTS.length);
    publisher.send({ op: 'finish' });
    assert.equal((await publisher.over()).type, 'done');

    const stored = await broker.events(stream.key);
    assert.deepEqual(
      stored.map(({ id }) => numberOf(id)),
      range(0, EVENTS.length + 2),
    );
    assert.deepEqual(
      stored.map(({ event, ...rest }) =>
        'data' in rest ? { event, data: withCompactJson(event, rest.data) } : { event },
      ),
      [{ event: 'start' }, ...EVENTS.map(asStored), { event: 'end' }],
    );
    // Late subscribers get all events at once.
    const late = SUBSCRIBE.map((kind) => fixture.subscribe(client, kind, stream, broker));
    for (const subscribers of [live, late]) {
      for (const [i, subscriber] of subscribers.entries()) {
        assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'ended' });
        assert.deepEqual(subscriber.missed, []);
        assertSaw(subscriber, stored, SUBSCRIBE[i]);
      }
    }
  },
);

/** JSON has more than one way to write a number. */
const withCompactJson = (event, data) =>
  event === 'value' ? JSON.stringify(JSON.parse(data)) : data;

scenario(
  'a subscriber with an id gets the events after it, and none when none follow',
  { transport: SUBSCRIBE },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('after');
    const { ids } = await broker.add(stream.key, [
      { event: 'one' },
      { event: 'two' },
      { event: 'three' },
    ]);
    await broker.end(stream.key);
    const stored = await broker.events(stream.key);
    const from = async (after) => {
      const subscriber = fixture.subscribe(client, transport, stream, broker, { after });
      return { subscriber, outcome: await subscriber.over() };
    };

    const middle = await from(ids[1]);
    assertSaw(middle.subscriber, stored.slice(3), transport);
    assert.deepEqual(middle.outcome, { type: 'finished', status: 'ended' });
    const last = await from(stored.at(-1).id);
    assertSaw(last.subscriber, [], transport);
    assert.deepEqual(last.outcome, { type: 'finished', status: null });
  },
);

// Over WebSocket the history is one message. By default libraries limit messages to 1 MiB to 100
// MiB.
const LONG_HISTORY = 106;

scenario(
  'a history of more than a hundred megabytes comes complete',
  { transport: ['ws'] },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('history');
    const data = 'h'.repeat(1_000_000);
    for (let i = 0; i < LONG_HISTORY; i += 1)
      await broker.add(stream.key, [{ event: 'token', data }]);
    await broker.end(stream.key);
    const subscriber = fixture.subscribe(client, transport, stream, broker);
    assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'ended' });
    assert.deepEqual(
      subscriber.events.map(({ id }) => numberOf(id)),
      range(0, LONG_HISTORY + 2),
    );
    assert.ok(subscriber.events.slice(1, -1).every((event) => event.data === data));
  },
  { concurrency: 2 },
);
