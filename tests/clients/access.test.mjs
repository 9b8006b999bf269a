// Where subscribers get their access from, and what they report about their connection.

import assert from 'node:assert/strict';
import { assertSaw, cutOff, scenario, SUBSCRIBE, until } from './harness.mjs';

scenario(
  'a subscriber uses the token at hand first, and asks for another access when it has expired',
  { transport: SUBSCRIBE },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('renewed');
    const short = await broker.call('/stream/token', { key: stream.key, ttl: 10 });
    const more = { access: true, token: short.token };
    const subscriber = fixture.subscribe(client, transport, stream, proxy, more);
    await subscriber.until(() => subscriber.events.length === 1, 'the event start');
    assert.equal(subscriber.accessRequests, 0);
    await until(async () => {
      const headers = { Authorization: `Bearer ${short.token}` };
      return (await fetch(stream.url('sse'), { method: 'HEAD', headers })).status === 401;
    }, 'the token expires');
    proxy.cutAll();
    await subscriber.until(() => subscriber.accessRequests === 1, 'the request for an access');
    // Its URL is of no use here: the subscription has one.
    subscriber.send({ access: { sse_url: 'http://127.0.0.1:1/', token: stream.token } });
    await broker.add(stream.key, [{ event: 'token' }]);
    await subscriber.until(() => subscriber.events.length === 2, 'an event after the renewal');
    await broker.end(stream.key);
    assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'ended' });
    assert.equal(subscriber.accessRequests, 1);
    assertSaw(subscriber, await broker.events(stream.key), transport);
  },
  { concurrency: 8 },
);

scenario(
  'a subscriber needs nothing but a function for its access',
  {},
  async ({ client, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('access');
    const subscriber = fixture.subscribe(client, 'sse', stream, broker, {
      url: undefined,
      token: undefined,
      access: true,
    });
    await subscriber.until(() => subscriber.accessRequests === 1, 'the request for an access');
    subscriber.send({ access: { sse_url: stream.url('sse'), token: stream.token } });
    await subscriber.until(() => subscriber.events.length === 1, 'the event start');
    await broker.end(stream.key);
    assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'ended' });
    assert.equal(subscriber.accessRequests, 1);
  },
);

scenario(
  'a subscriber reports each change of its connection',
  { transport: SUBSCRIBE },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('watched');
    const subscriber = fixture.subscribe(client, transport, stream, proxy, { connections: true });
    await subscriber.until(() => subscriber.events.length === 1, 'the event start');
    await cutOff(proxy);
    const waits = () => subscriber.connections.filter(({ state }) => state === 'waiting');
    await subscriber.until(() => waits().length >= 2, 'two attempts that fail');
    proxy.refusing = false;
    await broker.add(stream.key, [{ event: 'token' }]);
    await subscriber.until(() => subscriber.events.length === 2, 'the event after the cut');
    await broker.end(stream.key);
    assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'ended' });

    const { connections } = subscriber;
    assert.deepEqual(
      connections.slice(0, 3).map(({ state, attempt }) => [state, attempt]),
      [
        ['connecting', 1],
        ['open', 1],
        [transport === 'poll' ? connections[2].state : 'waiting', connections[2].attempt],
      ],
    );
    assert.ok(waits().every(({ failed, retry_in_ms: delay }) => failed && delay >= 0));
    assert.ok(connections.some(({ state, attempt }) => state === 'connecting' && attempt >= 2));
    const last = connections.at(-1);
    assert.deepEqual([last.state, last.failed], ['closed', false]);
  },
  { concurrency: 8 },
);
