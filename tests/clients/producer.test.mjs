// The life of a producer: its lease, stops, and other signals.

import assert from 'node:assert/strict';
import { PUBLISH, scenario, SUBSCRIBE, until } from './harness.mjs';
import { assertHolds, CountingWriter } from './counting-writer.mjs';

/** The token of a subscriber that may send signals. */
const MAY_SIGNAL = { permissions: ['read', 'signal'], subject: 'user-7' };

/** What the last event says after a stop of `MAY_SIGNAL`. */
const STOPPED_BY_USER = { reason: 'stop', by: 'user-7' };

const leaseEnd = async (broker, key) => Date.parse((await broker.info(key)).lease_expires_at);

scenario(
  'a writer keeps its stream alive in silence, and leaves it without a lease',
  { transport: PUBLISH },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('silent');
    const publisher = fixture.publish(client, transport, stream.key, broker, { lease_s: 2 });
    const writer = new CountingWriter(publisher);
    writer.write(1);
    await writer.flush();
    await until(async () => (await leaseEnd(broker, stream.key)) > 0, 'the lease begins');
    const first = await leaseEnd(broker, stream.key);
    // Renewed several times. Otherwise the broker would have abandoned the stream.
    await until(
      async () => (await leaseEnd(broker, stream.key)) > first + 4_000,
      'the writer renews the lease',
    );
    publisher.send({ op: 'close' });
    assert.equal((await publisher.over()).type, 'done');
    const { status, lease_expires_at: lease } = await broker.info(stream.key);
    assert.deepEqual([status, lease], ['active', null]);
  },
  { concurrency: 8 },
);

scenario(
  'a producer that dies leaves an abandoned stream',
  { transport: PUBLISH },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('dead');
    const subscribers = SUBSCRIBE.map((kind) => fixture.subscribe(client, kind, stream, broker));
    const publisher = fixture.publish(client, transport, stream.key, broker, { lease_s: 2 });
    const writer = new CountingWriter(publisher);
    writer.write(3);
    await writer.flush();
    await until(async () => (await leaseEnd(broker, stream.key)) > 0, 'the lease begins');
    await publisher.kill();
    for (const subscriber of subscribers) {
      assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'abandoned' });
      assert.deepEqual(subscriber.reason, { reason: 'lease' });
    }
    await assertHolds(broker, stream.key, 3, ['abandon']);
  },
  { concurrency: 4 },
);

scenario(
  'a stop reaches the writer, and its stream is cancelled with all that was written',
  { transport: PUBLISH, way: ['write', 'pipe', 'leave', 'raise', 'finish'] },
  async ({ client, transport, way, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('stopped', MAY_SIGNAL);
    const subscriber = fixture.subscribe(client, 'sse', stream, broker);
    const publisher = fixture.publish(client, transport, stream.key, broker);
    const writer = new CountingWriter(publisher);
    writer.write(3);
    if (way === 'pipe') publisher.send({ op: 'pipe', event: 'token', items: ['3', '4'] });
    else publisher.send({ op: 'await-stop' });
    const written = way === 'pipe' ? 5 : 3;
    await subscriber.until(() => subscriber.events.length === 1 + written, 'the events');
    subscriber.send({ op: 'request-stop' });
    await subscriber.until(() => subscriber.signalled.length === 1, 'the signal is sent');
    assert.deepEqual(subscriber.signalled[0], { type: 'signalled', seq: 1 });
    if (way !== 'pipe') {
      await publisher.until(() => publisher.stopHeard, 'the stop');
      publisher.send({ op: way, event: 'token', data: 'too late' });
    }
    const outcome = await publisher.over();
    if (way === 'write' || way === 'pipe')
      assert.deepEqual(outcome, { type: 'stopped', by: 'user-7' });
    else assert.equal(outcome.type, 'done');
    // A caller that finishes the stream itself says that it is complete.
    const status = way === 'finish' ? 'ended' : 'cancelled';
    assert.deepEqual(await subscriber.over(), { type: 'finished', status });
    assert.deepEqual(subscriber.reason, way === 'finish' ? null : STOPPED_BY_USER);
    await assertHolds(broker, stream.key, written, [way === 'finish' ? 'end' : 'cancel']);
  },
  { concurrency: 8 },
);

scenario(
  'a writer that does not listen learns of a stop when it renews its lease',
  { transport: PUBLISH, grace: [600, 0] },
  async ({ client, transport, grace, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('unheard', { ...MAY_SIGNAL, stop_grace: grace });
    const publisher = fixture.publish(client, transport, stream.key, broker, { lease_s: 2 });
    const writer = new CountingWriter(publisher);
    writer.write(1);
    await writer.flush();
    await broker.call(`/client/signal?key=${stream.key}`, { name: 'stop' });
    await until(() => {
      // The writer refuses one of these, which ends the job.
      if (publisher.outcome === null) publisher.send({ op: 'write', event: 'token', data: '.' });
      return publisher.outcome !== null;
    }, 'the writer refuses an event');
    assert.deepEqual(await publisher.over(), { type: 'stopped', by: 'api-key' });
    const { status, reason } = await broker.info(stream.key);
    assert.deepEqual([status, reason], ['cancelled', { reason: 'stop', by: 'api-key' }]);
  },
  { concurrency: 8 },
);

scenario(
  'a writer writes on after a stop when the caller wants it',
  { transport: PUBLISH },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('goes on');
    const publisher = fixture.publish(client, transport, stream.key, broker, {
      write_after_stop: true,
    });
    const writer = new CountingWriter(publisher);
    writer.write(2);
    publisher.send({ op: 'await-stop' });
    await broker.call(`/client/signal?key=${stream.key}`, { name: 'stop' });
    await publisher.until(() => publisher.stopHeard, 'the stop');
    writer.write(3);
    publisher.send({ op: 'leave' });
    assert.equal((await publisher.over()).type, 'done');
    await assertHolds(broker, stream.key, 5, ['cancel']);
  },
  { concurrency: 8 },
);

scenario(
  'a writer hears each signal once, over connections that are cut',
  { transport: ['ndjson'], store: ['memory', 'exclusive', 'shared'] },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.uploadProxy(broker);
    const stream = await broker.stream('steered');
    const publisher = fixture.publish(client, transport, stream.key, broker, { server: proxy });
    publisher.send({ op: 'write', event: 'token', data: '0' });
    const sent = [];
    const steer = async () => {
      const data = { step: sent.length };
      await broker.call(`/client/signal?key=${stream.key}`, { name: 'steer', data });
      sent.push({ seq: sent.length + 1, name: 'steer', data, by: 'api-key' });
    };
    // Before the writer listens.
    await steer();
    publisher.send({ op: 'hear' });
    for (let cuts = 0; cuts < 3; cuts += 1) {
      await publisher.until(() => publisher.signals?.length === sent.length, 'the signals');
      proxy.cutAll();
      await steer();
      await steer();
    }
    await publisher.until(() => publisher.signals.length >= sent.length, 'the last signals');
    assert.deepEqual(publisher.signals, sent);
    publisher.send({ op: 'finish' });
    assert.equal((await publisher.over()).type, 'done');
    assert.ok(publisher.silent, 'the signals are over');
  },
  { concurrency: 8 },
);

scenario(
  'a subscriber asks the producer with the token that it has, also a second time and after the end',
  { transport: SUBSCRIBE },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('asked', MAY_SIGNAL);
    const subscriber = fixture.subscribe(client, transport, stream, broker);
    await subscriber.until(() => subscriber.events.length === 1, 'the event start');
    const ask = async (message) => {
      const before = subscriber.signalled.length;
      subscriber.send(message);
      await subscriber.until(() => subscriber.signalled.length > before, JSON.stringify(message));
      return subscriber.signalled.at(-1);
    };
    const steer = { op: 'signal', name: 'steer', data: { to: ['the', 'left'] } };
    assert.deepEqual(await ask(steer), { type: 'signalled', seq: 1 });
    assert.deepEqual(await ask({ op: 'request-stop' }), { type: 'signalled', seq: 2 });
    assert.deepEqual(await ask({ op: 'request-stop' }), { type: 'signalled', seq: 2 });
    const { signals } = await broker.call(`/stream/signals?key=${stream.key}`);
    assert.deepEqual(
      signals.map(({ name, data, by }) => ({ name, data, by })),
      [
        { name: 'steer', data: steer.data, by: 'user-7' },
        { name: 'stop', data: undefined, by: 'user-7' },
      ],
    );
    await broker.call('/stream/cancel', { key: stream.key });
    assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'cancelled' });
  },
  { concurrency: 8 },
);

scenario(
  'a token without the permission sends no signals, and the subscription goes on',
  { transport: SUBSCRIBE },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('mute');
    const subscriber = fixture.subscribe(client, transport, stream, broker);
    await subscriber.until(() => subscriber.events.length === 1, 'the event start');
    subscriber.send({ op: 'request-stop' });
    await subscriber.until(() => subscriber.signalled.length === 1, 'the refusal');
    assert.deepEqual(subscriber.signalled, [{ type: 'signal-refused', code: 'forbidden' }]);
    await broker.end(stream.key);
    assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'ended' });
  },
  { concurrency: 8 },
);
