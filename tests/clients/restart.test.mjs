// Brokers that stop, and a store that stops.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertSaw, PUBLISH, scenario, SUBSCRIBE, until } from './harness.mjs';
import { AckCheck, assertHolds, CountingWriter } from './counting-writer.mjs';

const DELIVERIES = ['exclusive', 'shared'];

/** For each way of writing: a stream, a writer, and a subscriber over each transport. */
async function writersAndSubscribers(fixture, client, broker, server) {
  return Promise.all(
    PUBLISH.map(async (transport) => {
      const stream = await broker.stream(`over ${transport}`);
      const publisher = fixture.publish(client, transport, stream.key, broker, { server });
      const subscribers = SUBSCRIBE.map((kind) => ({
        kind,
        agent: fixture.subscribe(client, kind, stream, server),
      }));
      return {
        stream,
        publisher,
        writer: new CountingWriter(publisher),
        acks: new AckCheck(publisher, broker, stream.key),
        subscribers,
      };
    }),
  );
}

/** Writes into all streams until `more` further events are acknowledged in each. */
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
    () => {
      const last = all.map(({ publisher }) => publisher.messages.at(-1));
      return `acknowledgements; last: ${JSON.stringify(last)}`;
    },
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
  'writers and subscribers continue at another node, and no event is lost or repeated',
  { store: DELIVERIES },
  async ({ client, fixture }) => {
    const last = await fixture.broker();
    const nodes = [
      await fixture.broker(),
      await fixture.broker(),
      await fixture.broker(),
      await fixture.broker(),
    ];
    const server = await fixture.uploadProxy(...nodes, last);
    const all = await writersAndSubscribers(fixture, client, last, server);
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
  async ({ client, fixture }) => {
    const witness = await fixture.broker();
    const [first, second] = [await fixture.broker(), await fixture.broker()];
    const server = await fixture.uploadProxy(first);
    const all = await writersAndSubscribers(fixture, client, witness, server);
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
  'writers and subscribers wait for an unavailable store, and no event is lost or repeated',
  { store: DELIVERIES },
  async ({ client, fixture }) => {
    const broker = await fixture.broker({
      STREAMER_REDIS_TIMEOUT: '2',
      STREAMER_STORE_PATIENCE: '1',
    });
    const server = await fixture.uploadProxy(broker);
    const all = await writersAndSubscribers(fixture, client, broker, server);
    await writeOn(all, 40);
    const redis = await fixture.redis();
    for (const { acks } of all) await acks.settled();
    redis.suspend();
    for (const { writer } of all) writer.write(100);
    await until(
      async () => (await fetch(`${broker.url}/api/ready`)).status === 503,
      'the broker reports the unavailable store',
    );
    // Longer than the broker's timeout. Its subscribers then connect again, and get 503.
    await sleep(5_000);
    redis.resume();
    await until(
      async () => (await fetch(`${broker.url}/api/ready`)).status === 200,
      'the store is available again',
    );
    await writeOn(all, 200);
    await finish(all, broker);
  },
);
