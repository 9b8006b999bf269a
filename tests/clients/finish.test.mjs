// How streams end, and what both sides see of it.

import assert from 'node:assert/strict';
import { assertSaw, cutOff, PUBLISH, scenario, STORES, SUBSCRIBE, until } from './harness.mjs';
import { assertHolds, Writer } from './writing.mjs';

const WAYS = { finish: 'ended', leave: 'ended', cancel: 'cancelled', raise: 'cancelled' };

scenario(
  'a stream ends in the way in which its writer leaves it, and subscribers are told how',
  { transport: PUBLISH, op: Object.keys(WAYS) },
  async ({ client, transport, op, scene }) => {
    const broker = await scene.broker();
    const stream = await broker.stream('finished');
    const subscribers = SUBSCRIBE.map((kind) => scene.subscribe(client, kind, stream, broker));
    const publisher = scene.publish(client, transport, stream.key, broker);
    const writer = new Writer(publisher);
    writer.write(5);
    await writer.flush();
    // What is not flushed is stored before an end, and after an error. What of it the stream holds
    // that is cancelled by hand is left to chance.
    if (op !== 'cancel') writer.write(300);
    publisher.send({ op });
    assert.equal((await publisher.over()).type, 'done');
    const stored = await assertHolds(broker, stream.key, writer.written, [
      WAYS[op] === 'ended' ? 'end' : 'cancel',
    ]);
    assert.equal((await broker.info(stream.key)).status, WAYS[op]);
    for (const [i, subscriber] of subscribers.entries()) {
      assert.deepEqual(await subscriber.over(), { type: 'finished', status: WAYS[op] });
      assertSaw(subscriber, stored, SUBSCRIBE[i]);
    }
  },
  { concurrency: 4 },
);

scenario(
  'a writer that closes leaves its stream active, with all that was written in it',
  { transport: PUBLISH },
  async ({ client, transport, scene }) => {
    const broker = await scene.broker();
    const stream = await broker.stream('closed');
    const publisher = scene.publish(client, transport, stream.key, broker);
    const writer = new Writer(publisher);
    writer.write(50);
    publisher.send({ op: 'close' });
    assert.equal((await publisher.over()).type, 'done');
    await assertHolds(broker, stream.key, writer.written, []);
    assert.equal((await broker.info(stream.key)).status, 'active');
  },
);

scenario(
  'a cancelled writer drops what it has not sent',
  { transport: PUBLISH },
  async ({ client, transport, scene }) => {
    const broker = await scene.broker();
    const proxy = await scene.uploadProxy(broker);
    const stream = await broker.stream('dropped');
    const publisher = scene.publish(client, transport, stream.key, broker, { server: proxy });
    const writer = new Writer(publisher);
    writer.write(5);
    await writer.flush();
    proxy.refusing = true;
    proxy.cutAll();
    writer.write(20);
    publisher.send({ op: 'cancel' });
    // By then the agent has come to the last step, which it would otherwise do after it has sent
    // the events.
    await until(() => proxy.refused >= 4, 'the agent tries');
    proxy.refusing = false;
    assert.equal((await publisher.over()).type, 'done');
    await assertHolds(broker, stream.key, 5, ['cancel']);
  },
);

scenario(
  'a writer learns that somebody else has ended the stream',
  {
    transport: PUBLISH,
    steps: ['write, flush', 'write, finish', 'write, cancel', 'finish', 'cancel'],
  },
  async ({ client, transport, steps, scene }) => {
    const broker = await scene.broker();
    const stream = await broker.stream('taken away');
    const publisher = scene.publish(client, transport, stream.key, broker);
    const writer = new Writer(publisher);
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
  'one who leaves frees the place at the broker, without another event',
  { transport: SUBSCRIBE, store: STORES },
  async ({ client, transport, store, scene }) => {
    const broker = await scene.broker();
    const stream = await broker.stream('left');
    const subscriber = scene.subscribe(client, transport, stream, broker);
    await subscriber.until(() => subscriber.events.length === 1, 'the event start');
    await until(async () => (await broker.connectionsInUse()) === 1, 'a place is taken');
    subscriber.send({ op: 'stop' });
    assert.deepEqual(await subscriber.over(), { type: 'stopped' });
    await until(async () => (await broker.connectionsInUse()) === 0, `the place is free, over ${store}`);
  },
);

scenario(
  'one who leaves while there is no connection does not wait for one',
  { transport: SUBSCRIBE },
  async ({ client, transport, scene }) => {
    const broker = await scene.broker();
    const proxy = await scene.proxy(broker);
    const stream = await broker.stream('left');
    const subscriber = scene.subscribe(client, transport, stream, proxy);
    await subscriber.until(() => subscriber.events.length === 1, 'the event start');
    await cutOff(proxy);
    subscriber.send({ op: 'stop' });
    assert.deepEqual(await subscriber.over(), { type: 'stopped' });
  },
);
