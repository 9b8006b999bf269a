// How streams end, for writers and subscribers.

import assert from 'node:assert/strict';
import {
  assertSaw,
  cutOff,
  PUBLISH,
  range,
  scenario,
  STORES,
  SUBSCRIBE,
  until,
} from './harness.mjs';
import { assertHolds, CountingWriter } from './counting-writer.mjs';

const FAILURE = { code: 'model-overloaded', message: 'Too much' };
/** The last step of a writer, and how it finishes the stream. */
const WAYS = {
  finish: { status: 'ended', last: 'end', reason: null },
  leave: { status: 'ended', last: 'end', reason: null },
  cancel: {
    step: { reason: 'changed my mind', by: 'user-7' },
    status: 'cancelled',
    last: 'cancel',
    reason: { reason: 'changed my mind', by: 'user-7' },
  },
  fail: { step: FAILURE, status: 'failed', last: 'fail', reason: FAILURE },
  // Without the text of the error, which may be a secret.
  raise: {
    status: 'failed',
    last: 'fail',
    reason: { code: 'error', message: 'The producer failed' },
  },
};

scenario(
  'a writer finishes its stream when it is left, and subscribers receive status and reason',
  { transport: PUBLISH, op: Object.keys(WAYS) },
  async ({ client, transport, op, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('finished');
    const subscribers = SUBSCRIBE.map((kind) => fixture.subscribe(client, kind, stream, broker));
    const publisher = fixture.publish(client, transport, stream.key, broker);
    const writer = new CountingWriter(publisher);
    writer.write(5);
    await writer.flush();
    // Unflushed events are stored before an end, and after an error. When the caller cancels, some
    // of them may be stored.
    if (op !== 'cancel') writer.write(300);
    const { step, status, last, reason } = WAYS[op];
    publisher.send({ op, ...step });
    assert.equal((await publisher.over()).type, 'done');
    const stored = await broker.events(stream.key);
    assert.deepEqual(
      stored.slice(0, -1).map(({ event, data }) => data ?? event),
      ['start', ...range(0, writer.written).map(String)],
    );
    assert.equal(stored.at(-1).event, last);
    assert.equal((await broker.info(stream.key)).status, status);
    for (const [i, subscriber] of subscribers.entries()) {
      assert.deepEqual(await subscriber.over(), { type: 'finished', status });
      assert.deepEqual(subscriber.reason, reason);
      assertSaw(subscriber, stored, SUBSCRIBE[i]);
    }
  },
  { concurrency: 4 },
);

scenario(
  'a writer that closes leaves its stream active, with all written events',
  { transport: PUBLISH },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('closed');
    const publisher = fixture.publish(client, transport, stream.key, broker);
    const writer = new CountingWriter(publisher);
    writer.write(50);
    publisher.send({ op: 'close' });
    assert.equal((await publisher.over()).type, 'done');
    await assertHolds(broker, stream.key, writer.written, []);
    assert.equal((await broker.info(stream.key)).status, 'active');
  },
);

scenario(
  'a cancelled writer drops the events that it has not sent',
  { transport: PUBLISH },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.uploadProxy(broker);
    const stream = await broker.stream('dropped');
    const publisher = fixture.publish(client, transport, stream.key, broker, { server: proxy });
    const writer = new CountingWriter(publisher);
    writer.write(5);
    await writer.flush();
    proxy.refusing = true;
    proxy.cutAll();
    writer.write(20);
    publisher.send({ op: 'cancel' });
    // By then the agent has read the last step. Otherwise it would send the events first.
    await until(() => proxy.refused >= 4, 'the agent tries');
    proxy.refusing = false;
    assert.equal((await publisher.over()).type, 'done');
    await assertHolds(broker, stream.key, 5, ['cancel']);
  },
);

scenario(
  'a writer fails when somebody else has ended the stream',
  {
    transport: PUBLISH,
    steps: ['write, flush', 'write, finish', 'finish'],
  },
  async ({ client, transport, steps, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('taken away');
    const publisher = fixture.publish(client, transport, stream.key, broker);
    const writer = new CountingWriter(publisher);
    writer.write(5);
    await writer.flush();
    await broker.end(stream.key);
    for (const op of steps.split(', ')) publisher.send({ op, event: 'token' });
    const outcome = await publisher.over();
    assert.equal(outcome.type, 'failed');
    assert.equal(outcome.code, 'no-active-stream');
    await assertHolds(broker, stream.key, 5, ['end']);
  },
);

scenario(
  'to cancel or fail a stream that somebody else has ended is a success',
  { transport: PUBLISH, op: ['cancel', 'fail', 'raise'] },
  async ({ client, transport, op, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('taken away');
    const publisher = fixture.publish(client, transport, stream.key, broker);
    const writer = new CountingWriter(publisher);
    writer.write(5);
    await writer.flush();
    await broker.end(stream.key);
    publisher.send({ op });
    assert.equal((await publisher.over()).type, 'done');
    await assertHolds(broker, stream.key, 5, ['end']);
  },
  { concurrency: 8 },
);

scenario(
  'a writer whose stream somebody else has cancelled was stopped',
  { transport: PUBLISH, steps: ['write, flush', 'write, finish', 'write, leave'] },
  async ({ client, transport, steps, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('stopped');
    const publisher = fixture.publish(client, transport, stream.key, broker);
    const writer = new CountingWriter(publisher);
    writer.write(5);
    await writer.flush();
    await broker.call('/stream/cancel', { key: stream.key });
    for (const op of steps.split(', ')) publisher.send({ op, event: 'token' });
    const outcome = await publisher.over();
    // The end of the block is no error after a stop. Over a WebSocket the write may be too late.
    const ways = steps.endsWith('leave') ? ['done', 'stopped'] : ['stopped'];
    assert.ok(ways.includes(outcome.code ?? outcome.type), JSON.stringify(outcome));
    await assertHolds(broker, stream.key, 5, ['cancel']);
  },
  { concurrency: 8 },
);

scenario(
  'a subscriber that leaves closes its connection, also without another event',
  { transport: SUBSCRIBE, store: STORES },
  async ({ client, transport, store, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('left');
    const subscriber = fixture.subscribe(client, transport, stream, broker);
    await subscriber.until(() => subscriber.events.length === 1, 'the event start');
    await until(async () => (await broker.connectionsInUse()) === 1, 'the connection is open');
    subscriber.send({ op: 'stop' });
    assert.deepEqual(await subscriber.over(), { type: 'stopped' });
    await until(
      async () => (await broker.connectionsInUse()) === 0,
      `the connection is closed, over ${store}`,
    );
  },
);

scenario(
  'a subscriber that leaves without a connection does not wait for one',
  { transport: SUBSCRIBE },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('left');
    const subscriber = fixture.subscribe(client, transport, stream, proxy);
    await subscriber.until(() => subscriber.events.length === 1, 'the event start');
    await cutOff(proxy);
    subscriber.send({ op: 'stop' });
    assert.deepEqual(await subscriber.over(), { type: 'stopped' });
  },
);

scenario(
  'a subscriber of a stream that fails receives the last event, and the status',
  { transport: SUBSCRIBE, moment: ['before', 'after'] },
  async ({ client, transport, moment, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('failing');
    await broker.add('failing', [{ event: 'token', data: 'Hel' }]);
    const fail = () =>
      broker.call('/stream/fail', { key: 'failing', ...FAILURE });
    if (moment === 'after') await fail();
    const subscriber = fixture.subscribe(client, transport, stream, broker);
    if (moment === 'before') {
      await until(() => subscriber.events.length === 2, 'the subscriber has the first events');
      await fail();
    }
    assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'failed' });
    assertSaw(subscriber, await broker.events('failing'), transport);
    assert.deepEqual(JSON.parse(subscriber.events.at(-1).data), FAILURE);
    assert.deepEqual(subscriber.reason, FAILURE);
  },
);
