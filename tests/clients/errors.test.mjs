// Answers that are errors: some are final, some pass.

import assert from 'node:assert/strict';
import { assertSaw, PUBLISH, scenario, SUBSCRIBE, until } from './harness.mjs';
import { assertHolds, Writer } from './writing.mjs';

/** What is wrong with a subscription, and the broker's word for it. */
const SUBSCRIPTIONS = {
  unauthorized: () => ({ token: 'no token' }),
  forbidden: async (broker) => ({ token: (await broker.stream('another')).token }),
  'invalid-event-id': () => ({ after: 'no id' }),
};

scenario(
  'a subscription that the broker refuses fails with its word for it',
  { transport: SUBSCRIBE, code: Object.keys(SUBSCRIPTIONS) },
  async ({ client, transport, code, scene }) => {
    const broker = await scene.broker();
    const proxy = await scene.proxy(broker);
    const stream = await broker.stream('refused');
    const subscriber = scene.subscribe(
      client,
      transport,
      stream,
      proxy,
      await SUBSCRIPTIONS[code](broker),
    );
    const outcome = await subscriber.over();
    assert.equal(outcome.type, 'failed');
    assert.equal(outcome.code, code);
    assert.ok(outcome.message);
    assert.equal(proxy.gets.length, 1);
  },
);

scenario(
  'a subscription to a stream that has expired fails, also when it was there before',
  { transport: SUBSCRIBE, when: ['before', 'meanwhile'] },
  async ({ client, transport, when, scene }) => {
    const broker = await scene.broker();
    const stream = await broker.stream('expired', { ttl: 1 });
    const { token } = await broker.call('/stream/token', { key: stream.key, ttl: 60 });
    const expired = () =>
      until(
        async () =>
          (
            await fetch(stream.url('sse', broker), {
              method: 'HEAD',
              headers: { Authorization: `Bearer ${token}` },
            })
          ).status === 404,
        'the stream expires',
      );
    if (when === 'before') await expired();
    const subscriber = scene.subscribe(client, transport, stream, broker, { token });
    const outcome = await subscriber.over();
    assert.equal(outcome.type, 'failed');
    assert.equal(outcome.code, 'stream-not-found');
  },
);

scenario(
  'a subscriber waits for its turn when all places are taken',
  { transport: SUBSCRIBE },
  async ({ client, transport, scene }) => {
    const broker = await scene.broker({ STREAMER_MAX_CLIENTS: '1' });
    const proxy = await scene.proxy(broker);
    const stream = await broker.stream('full');
    const abort = new AbortController();
    // Held on to: an answer that nobody refers to is given up when memory is tidied, and its place
    // with it.
    const held = await fetch(stream.sse(broker), { signal: abort.signal });
    const subscriber = scene.subscribe(client, transport, stream, proxy);
    await until(() => proxy.gets.some(({ status }) => status === 429), 'a refusal');
    assert.equal(held.status, 200);
    abort.abort();
    await broker.end(stream.key);
    assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'ended' });
    assertSaw(subscriber, await broker.events(stream.key), transport);
  },
);

scenario(
  'a subscriber does not come back sooner than the broker asks',
  { transport: SUBSCRIBE },
  async ({ client, transport, scene }) => {
    const broker = await scene.broker({ STREAMER_MAX_CLIENTS: '1' });
    const proxy = await scene.proxy(broker);
    const stream = await broker.stream('full');
    const holder = new AbortController();
    const held = await fetch(stream.sse(broker), { signal: holder.signal });
    scene.atClose(() => {
      assert.equal(held.status, 200);
      holder.abort();
    });
    let [refused, asked] = [0, 0];
    const proxied = { asked: proxy.asked, answered: proxy.answered };
    proxy.answered = (connection, chunk) => {
      if (chunk.includes('HTTP/1.1 429 ')) refused ||= Date.now();
      proxied.answered.call(proxy, connection, chunk);
    };
    proxy.asked = (connection, chunk) => {
      if (refused) asked ||= Date.now();
      proxied.asked.call(proxy, connection, chunk);
    };
    scene.subscribe(client, transport, stream, proxy);
    await until(() => asked, 'another attempt');
    // The broker says two seconds; clocks are not of one mind about a millisecond.
    assert.ok(asked - refused >= 1_990, `${asked - refused} ms`);
  },
);

scenario(
  "a writer with a wrong API key, or for a stream that is not active, fails with the broker's word for it",
  { transport: PUBLISH, code: ['unauthorized', 'no-active-stream'] },
  async ({ client, transport, code, scene }) => {
    const broker = await scene.broker();
    const stream = await broker.stream('written');
    const key = code === 'no-active-stream' ? 'unknown' : stream.key;
    const more = code === 'unauthorized' ? { api_key: 'not the right one' } : {};
    const publisher = scene.publish(client, transport, key, broker, more);
    publisher.send({ op: 'write', event: 'token' });
    publisher.send({ op: 'flush' });
    const outcome = await publisher.over();
    assert.equal(outcome.type, 'failed');
    assert.equal(outcome.code, code);
    assert.ok(outcome.message);
    assert.deepEqual(publisher.acks, []);
    await assertHolds(broker, stream.key, 0, []);
  },
);

/** Names that the broker would refuse. */
const REFUSED = {
  'reserved-event': ['start', 'end', 'cancel', 'error', 'missedevents'],
  'invalid-event': [
    '',
    'x'.repeat(129),
    '🦀'.repeat(33),
    'a\nb',
    'NUL \u0000',
    '\u007f',
    'C1 \u0085',
  ],
};

scenario(
  'a name that the broker would refuse is refused when it is written, and the writer goes on',
  { transport: PUBLISH },
  async ({ client, transport, scene }) => {
    const broker = await scene.broker();
    const stream = await broker.stream('names');
    const publisher = scene.publish(client, transport, stream.key, broker);
    const writer = new Writer(publisher);
    writer.write(1);
    const expected = [];
    for (const [code, names] of Object.entries(REFUSED)) {
      for (const event of names) {
        publisher.send({ op: 'write', event, data: 'refused' });
        writer.write(1);
        expected.push(code);
      }
    }
    publisher.send({ op: 'finish' });
    assert.equal((await publisher.over()).type, 'done');
    assert.deepEqual(
      publisher.answers.map(({ code }) => code),
      expected,
    );
    await assertHolds(broker, stream.key, writer.written, ['end']);
    assert.equal(publisher.acks.at(-1).count, writer.written);
  },
);

scenario(
  'an event that is too large for the broker fails the writer, rather than to be left out',
  { transport: PUBLISH },
  async ({ client, transport, scene }) => {
    const broker = await scene.broker({ STREAMER_MAX_LINE: '1000' });
    const stream = await broker.stream('large');
    const publisher = scene.publish(client, transport, stream.key, broker);
    const writer = new Writer(publisher);
    writer.write(3);
    await writer.flush();
    publisher.send({ op: 'write', event: 'token', data: 'x'.repeat(2_000) });
    publisher.send({ op: 'finish' });
    const outcome = await publisher.over();
    assert.equal(outcome.type, 'failed');
    assert.ok(outcome.message);
    assert.equal(publisher.acks.at(-1).count, 3);
    assert.notEqual((await broker.info(stream.key)).status, 'ended');
  },
);
