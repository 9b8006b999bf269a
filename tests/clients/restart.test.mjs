// Brokers that stop, and a store that does.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertSaw, PUBLISH, scenario, SUBSCRIBE, until } from './harness.mjs';
import { AckCheck, assertHolds, Writer } from './writing.mjs';

const DELIVERIES = ['exclusive', 'shared'];

/** For each way of writing a stream, with a subscriber of each kind. */
async function rooms(scene, client, broker, server) {
  return Promise.all(
    PUBLISH.map(async (transport) => {
      const stream = await broker.stream(`over ${transport}`);
      const publisher = scene.publish(client, transport, stream.key, broker, { server });
      const subscribers = SUBSCRIBE.map((kind) => ({
        kind,
        agent: scene.subscribe(client, kind, stream, server),
      }));
      return {
        stream,
        publisher,
        writer: new Writer(publisher),
        acks: new AckCheck(publisher, broker, stream.key),
        subscribers,
      };
    }),
  );
}

/** Writes on in all rooms until so many more are acknowledged in each. */
async function writeOn(all, more) {
  const goals = all.map(({ writer }) => writer.written - writer.unacknowledged + more);
  await until(
    () => {
      for (const { publisher, writer, subscribers, acks } of all) {
        assert.equal(publisher.outcome, null);
        for (const { agent } of subscribers) assert.equal(agent.outcome, null);
        if (writer.unacknowledged < 200) writer.write(2);
        acks.ask();
      }
      return all.every(({ writer }, i) => writer.written - writer.unacknowledged >= goals[i]);
    },
    () =>
      `acknowledgements; at last ${all.map(({ publisher }) => JSON.stringify(publisher.messages.at(-1)))}`,
  );
}

async function finish(all, broker) {
  for (const { publisher, writer, acks, stream, subscribers } of all) {
    await writer.flush();
    await acks.assertTrue(writer.written);
    publisher.send({ op: 'finish' });
    assert.equal((await publisher.over()).type, 'done');
    const stored = await assertHolds(broker, stream.key, writer.written, ['end']);
    for (const { kind, agent } of subscribers) {
      assert.deepEqual(await agent.over(), { type: 'finished', status: 'ended' });
      assert.deepEqual(agent.missed, []);
      assertSaw(agent, stored, kind);
    }
  }
}

scenario(
  'writers and subscribers go on at another node when theirs is killed or stops, and nothing is lost or doubled',
  { store: DELIVERIES },
  async ({ client, scene }) => {
    const last = await scene.broker();
    const nodes = [
      await scene.broker(),
      await scene.broker(),
      await scene.broker(),
      await scene.broker(),
    ];
    const server = await scene.uploadProxy(...nodes, last);
    const all = await rooms(scene, client, last, server);
    for (const [i, node] of nodes.entries()) {
      await writeOn(all, 40);
      if (i % 2 === 0) {
        await node.kill();
      } else {
        node.terminate();
        await writeOn(all, 40);
        assert.deepEqual(await node.gone, { code: 0, signal: null });
      }
    }
    await writeOn(all, 40);
    await finish(all, last);
  },
);

scenario(
  'writers and subscribers wait for the only node while it is away',
  { store: DELIVERIES },
  async ({ client, scene }) => {
    const witness = await scene.broker();
    const [first, second] = [await scene.broker(), await scene.broker()];
    const server = await scene.uploadProxy(first);
    const all = await rooms(scene, client, witness, server);
    await writeOn(all, 40);
    server.refusing = true;
    await first.kill();
    for (const { writer } of all) writer.write(100);
    await until(() => server.refused > 10, 'the clients try');
    server.upstreams = [second];
    server.refusing = false;
    await writeOn(all, 200);
    await finish(all, witness);
  },
);

scenario(
  'writers and subscribers wait for a store that is away, and nothing is lost or doubled',
  { store: DELIVERIES },
  async ({ client, scene }) => {
    const broker = await scene.broker({
      STREAMER_REDIS_TIMEOUT: '2',
      STREAMER_STORE_PATIENCE: '1',
    });
    const server = await scene.uploadProxy(broker);
    const all = await rooms(scene, client, broker, server);
    await writeOn(all, 40);
    const redis = await scene.redis();
    for (const { acks } of all) await acks.settled();
    redis.suspend();
    for (const { writer } of all) writer.write(100);
    await until(
      async () => (await fetch(`${broker.url}/api/ready`)).status === 503,
      'the broker misses its store',
    );
    // Past the patience of the broker, whose subscribers then come back to answers of 503.
    await sleep(5_000);
    redis.resume();
    await until(
      async () => (await fetch(`${broker.url}/api/ready`)).status === 200,
      'the broker has its store again',
    );
    await writeOn(all, 200);
    await finish(all, broker);
  },
);
