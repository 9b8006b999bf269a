// Writers whose connections break.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { PUBLISH, scenario, until } from './harness.mjs';
import { AckCheck, assertHolds, CountingWriter } from './counting-writer.mjs';

const CUTS = 40;
/**
 * A low limit, so that the connection slows the writer down and cuts meet requests of all sizes.
 */
const MOST_UNACKNOWLEDGED = 300;

scenario(
  'over connections that are cut dozens of times events are stored once and acknowledged',
  { transport: PUBLISH, store: ['memory', 'exclusive'] },
  async ({ client, transport, fixture, random }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.uploadProxy(broker);
    const stream = await broker.stream('cut');
    const cutting = () => proxy.cuts < CUTS;
    // The broker has handled a request whose response is cut.
    proxy.allowance = () =>
      cutting() && random.chance(0.3) ? random.integer(0, 1) * random.integer(1, 1_500) : Infinity;
    proxy.requestAllowance = () =>
      cutting() && random.chance(0.2) ? random.integer(0, 4_000) : Infinity;
    const publisher = fixture.publish(client, transport, stream.key, broker, { server: proxy });
    const writer = new CountingWriter(publisher);
    const acks = new AckCheck(publisher, broker, stream.key);
    await until(
      () => {
        assert.equal(publisher.outcome, null);
        if (writer.unacknowledged < MOST_UNACKNOWLEDGED)
          writer.write(random.integer(0, random.chance(0.1) ? 100 : 4));
        acks.ask();
        if (proxy.open > 0 && cutting() && random.chance(0.05)) proxy.cutAll();
        return !cutting();
      },
      () => `the cuts; so far ${proxy.cuts}; last: ${JSON.stringify(publisher.messages.at(-1))}`,
    );
    await writer.flush();
    await acks.assertTrue(writer.written);
    publisher.send({ op: 'finish' });
    assert.equal((await publisher.over()).type, 'done');
    await assertHolds(broker, stream.key, writer.written, ['end']);
  },
  { concurrency: 5 },
);

const FINISH = { finish: 'end', cancel: 'cancel', fail: 'fail' };

scenario(
  'a lost response to the end is not a failure, and the stream ends once',
  { transport: PUBLISH, op: Object.keys(FINISH) },
  async ({ client, transport, op, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.uploadProxy(broker);
    const stream = await broker.stream('ended');
    const publisher = fixture.publish(client, transport, stream.key, broker, { server: proxy });
    const writer = new CountingWriter(publisher);
    writer.write(10);
    await writer.flush();
    let lost = 0;
    proxy.onRequest = (connection, chunk) => {
      if (lost === 2 || !chunk.includes(`POST /api/stream/${FINISH[op]}`)) return;
      connection.left = 0;
      lost += 1;
    };
    publisher.send({ op });
    assert.equal((await publisher.over()).type, 'done');
    assert.equal(lost, 2);
    await assertHolds(broker, stream.key, writer.written, [FINISH[op]]);
  },
  { concurrency: 16 },
);

scenario(
  'it is a failure when the stream was finished in another way and the request was lost',
  { transport: PUBLISH, elsewhere: ['cancel', 'fail'] },
  async ({ client, transport, elsewhere, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.uploadProxy(broker);
    const stream = await broker.stream('ended');
    const publisher = fixture.publish(client, transport, stream.key, broker, { server: proxy });
    const writer = new CountingWriter(publisher);
    writer.write(10);
    await writer.flush();
    let lost = false;
    proxy.onRequest = (connection, chunk) => {
      if (lost || !chunk.includes('POST /api/stream/end')) return;
      connection.requestLeft = 0;
      lost = true;
      proxy.refusing = true;
    };
    publisher.send({ op: 'finish' });
    await publisher.until(() => lost, 'the request for the end');
    await broker.call(`/stream/${elsewhere}`, { key: stream.key });
    proxy.refusing = false;
    const { type, code } = await publisher.over();
    assert.equal(code ?? type, elsewhere === 'cancel' ? 'stopped' : 'no-active-stream');
  },
  { concurrency: 16 },
);

scenario(
  'no event is acknowledged before the broker has, and at most max_pending are sent',
  { transport: PUBLISH },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.uploadProxy(broker);
    const stream = await broker.stream('held');
    const publisher = fixture.publish(client, transport, stream.key, broker, {
      server: proxy,
      max_pending: 10,
    });
    const writer = new CountingWriter(publisher);
    writer.write(5);
    await writer.flush();
    proxy.hold();
    writer.write(100);
    const stored = async () => (await broker.info(stream.key)).length - 1;
    await until(async () => (await stored()) > 5, 'the broker gets more');
    publisher.send({ op: 'flush' });
    // A defect shows soon, because the agent only has to send more.
    for (let i = 0; i < 20; i += 1) {
      assert.ok((await stored()) <= 15);
      assert.deepEqual([publisher.acks.at(-1).count, publisher.flushes], [5, 1]);
      await sleep(20);
    }
    proxy.release();
    await publisher.until(() => publisher.flushes === 2, 'the flush');
    publisher.send({ op: 'close' });
    assert.equal((await publisher.over()).type, 'done');
    await assertHolds(broker, stream.key, writer.written, []);
  },
  { concurrency: 8 },
);

scenario(
  'a writer fails when nothing was acknowledged for too long',
  { transport: PUBLISH, broker: ['gone', 'mute'] },
  async ({ client, transport, broker: fate, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.uploadProxy(broker);
    const stream = await broker.stream('gone');
    const publisher = fixture.publish(client, transport, stream.key, broker, {
      server: proxy,
      retry_for_ms: 4_000,
    });
    const writer = new CountingWriter(publisher);
    writer.write(5);
    await writer.flush();
    if (fate === 'gone') await broker.kill();
    else proxy.hold();
    writer.write(5);
    publisher.send({ op: 'finish' });
    const outcome = await publisher.over();
    assert.equal(outcome.type, 'failed');
    assert.equal(publisher.acks.at(-1).count, 5);
  },
  { concurrency: 16 },
);
