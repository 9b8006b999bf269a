// Subscribers that get many stored events as one.

import assert from 'node:assert/strict';
import { numberOf, range, scenario, SUBSCRIBE, until } from './harness.mjs';
import { CutSubscriber } from './cut-subscriber.mjs';

const STORED = 2_000;
const tokens = (numbers) => numbers.map((number) => ({ event: 'token', data: `${number} ` }));
const textOf = (events) => events.map(({ data }) => data).join('');

scenario(
  'a subscriber that joins late gets the stored tokens as one event, and the others one by one',
  { transport: SUBSCRIBE, store: ['memory', 'exclusive', 'shared'] },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('late');
    const numbers = range(0, STORED);
    await broker.add(stream.key, tokens(numbers.slice(0, STORED / 2)));
    await broker.add(stream.key, tokens(numbers.slice(STORED / 2)));
    await broker.add(stream.key, [{ event: 'note', data: 'between' }]);
    const subscriber = fixture.subscribe(client, transport, stream, broker, { rollup: ['token'] });
    await subscriber.until(() => subscriber.events.length === 3, 'the stored events');
    const [start, rolled, note] = subscriber.events;
    assert.deepEqual([start.event, note.event], ['start', 'note']);
    assert.equal(rolled.data, textOf(tokens(numbers)));
    assert.equal(numberOf(rolled.id), STORED);
    assert.equal(rolled.count, STORED);
    await broker.add(stream.key, tokens([STORED]));
    await subscriber.until(() => subscriber.events.length === 4, 'the next event');
    await broker.end(stream.key);
    assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'ended' });
    assert.equal(subscriber.events[3].count, undefined);
  },
  { concurrency: 8 },
);

scenario(
  'over connections that are cut, rolled up events make the whole text once',
  { transport: SUBSCRIBE },
  async ({ client, transport, fixture, random }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('rolled');
    const cutSubscriber = new CutSubscriber(transport, await fixture.proxy(broker), random);
    const subscriber = fixture.subscribe(client, transport, stream, cutSubscriber.proxy, {
      rollup: ['token'],
      rollup_ms: 20,
      silence_ms: 2_500,
    });
    cutSubscriber.subscriber = subscriber;
    const upload = broker.upload(stream.key);
    let written = 0;
    await until(
      () => {
        for (let burst = random.integer(1, 20); burst > 0; burst -= 1, written += 1)
          upload.line(tokens([written])[0]);
        cutSubscriber.cutAtTimes();
        return cutSubscriber.done;
      },
      () => `the cuts; so far ${cutSubscriber.proxy.cuts}`,
    );
    await upload.finish();
    await broker.end(stream.key);
    assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'ended' });
    const found = subscriber.events.filter(({ event }) => event === 'token');
    assert.equal(textOf(found), textOf(tokens(range(0, written))));
    assert.ok(found.length < written, `${found.length} events for ${written}`);
    const counted = found.reduce((sum, { count = 1 }) => sum + count, 0);
    assert.equal(counted, written);
  },
  { concurrency: 8 },
);
