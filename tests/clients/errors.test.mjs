// Errors of the broker: some are final, some are temporary.

import assert from 'node:assert/strict';
import { assertSaw, PUBLISH, scenario, SUBSCRIBE, until } from './harness.mjs';
import { assertHolds, CountingWriter } from './counting-writer.mjs';

/** What is wrong with a subscription, and the broker's error code. */
const SUBSCRIPTIONS = {
  unauthorized: () => ({ token: 'no token' }),
  forbidden: async (broker) => ({ token: (await broker.stream('another')).token }),
  'invalid-event-id': () => ({ after: 'no id' }),
};

scenario(
  'a subscription that the broker refuses fails with its error code',
  { transport: SUBSCRIBE, code: Object.keys(SUBSCRIPTIONS) },
  async ({ client, transport, code, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('refused');
    const subscriber = fixture.subscribe(
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
  'a subscription to an expired stream fails, also when it was connected before',
  { transport: SUBSCRIBE, when: ['before', 'meanwhile'] },
  async ({ client, transport, when, fixture }) => {
    const broker = await fixture.broker();
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
    const subscriber = fixture.subscribe(client, transport, stream, broker, { token });
    const outcome = await subscriber.over();
    assert.equal(outcome.type, 'failed');
    assert.equal(outcome.code, 'stream-not-found');
  },
);

scenario(
  'a subscriber tries again when the broker has reached its limit',
  { transport: SUBSCRIBE },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker({ STREAMER_MAX_CLIENTS: '1' });
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('limited');
    const abort = new AbortController();
    // The variable keeps the response from garbage collection, which would close the connection.
    const held = await fetch(stream.sse(broker), { signal: abort.signal });
    const subscriber = fixture.subscribe(client, transport, stream, proxy);
    await until(() => proxy.gets.some(({ status }) => status === 429), 'a refusal');
    assert.equal(held.status, 200);
    abort.abort();
    await broker.end(stream.key);
    assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'ended' });
    assertSaw(subscriber, await broker.events(stream.key), transport);
  },
);

scenario(
  'a subscriber does not connect again before Retry-After',
  { transport: SUBSCRIBE },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker({ STREAMER_MAX_CLIENTS: '1' });
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('limited');
    const holder = new AbortController();
    const held = await fetch(stream.sse(broker), { signal: holder.signal });
    fixture.atClose(() => {
      assert.equal(held.status, 200);
      holder.abort();
    });
    let [refused, requested] = [0, 0];
    const proxied = { onRequest: proxy.onRequest, onResponse: proxy.onResponse };
    proxy.onResponse = (connection, chunk) => {
      if (chunk.includes('HTTP/1.1 429 ')) refused ||= Date.now();
      proxied.onResponse.call(proxy, connection, chunk);
    };
    proxy.onRequest = (connection, chunk) => {
      if (refused) requested ||= Date.now();
      proxied.onRequest.call(proxy, connection, chunk);
    };
    fixture.subscribe(client, transport, stream, proxy);
    await until(() => requested, 'another attempt');
    // The broker sends two seconds. Clocks may differ by a millisecond.
    assert.ok(requested - refused >= 1_990, `${requested - refused} ms`);
  },
);

scenario(
  'a writer with a wrong API key or without an active stream fails with the error code',
  { transport: PUBLISH, code: ['unauthorized', 'no-active-stream'] },
  async ({ client, transport, code, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('written');
    const key = code === 'no-active-stream' ? 'unknown' : stream.key;
    const more = code === 'unauthorized' ? { api_key: 'not the right one' } : {};
    const publisher = fixture.publish(client, transport, key, broker, more);
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
  'the writer refuses a name that the broker would refuse, and goes on',
  { transport: PUBLISH },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('names');
    const publisher = fixture.publish(client, transport, stream.key, broker);
    const writer = new CountingWriter(publisher);
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
  'an event that is too large for the broker fails the writer, and is not skipped',
  { transport: PUBLISH },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker({ STREAMER_MAX_LINE: '1000' });
    const stream = await broker.stream('large');
    const publisher = fixture.publish(client, transport, stream.key, broker);
    const writer = new CountingWriter(publisher);
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
