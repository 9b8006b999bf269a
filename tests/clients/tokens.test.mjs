// Tokens: where they are sent, and when another is requested.

import assert from 'node:assert/strict';
import { assertSaw, scenario, STREAMING, SUBSCRIBE, until } from './harness.mjs';

const FROM_FUNCTION = { token: null };

async function expired(url, token) {
  const headers = { Authorization: `Bearer ${token}` };
  await until(
    async () => (await fetch(url, { method: 'HEAD', headers })).status === 401,
    'the token expires',
  );
}

scenario(
  'a subscription continues with another token when the first has expired',
  { transport: STREAMING },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('renewed');
    const subscriber = fixture.subscribe(client, transport, stream, proxy, FROM_FUNCTION);
    await subscriber.until(() => subscriber.tokenRequests === 1, 'the request for a token');
    const short = await broker.call('/stream/token', { key: stream.key, ttl: 5 });
    subscriber.send({ token: short.token });
    await subscriber.until(() => subscriber.events.length === 1, 'the event start');

    // A connection survives its token, and a valid token opens more than one.
    await expired(stream.url('sse'), short.token);
    await broker.add(stream.key, [{ event: 'token' }]);
    await subscriber.until(() => subscriber.events.length === 2, 'an event after the token');
    assert.equal(subscriber.tokenRequests, 1);
    proxy.cutAll();
    await subscriber.until(() => subscriber.tokenRequests === 2, 'the request for another token');
    subscriber.send({ token: stream.token });
    await broker.add(stream.key, [{ event: 'token' }]);
    await subscriber.until(() => subscriber.events.length === 3, 'an event after the renewal');
    proxy.cutAll();
    await broker.add(stream.key, [{ event: 'token' }]);
    await subscriber.until(() => subscriber.events.length === 4, 'an event after another cut');
    await broker.end(stream.key);
    assert.deepEqual(await subscriber.over(), { type: 'finished', status: 'ended' });
    assert.equal(subscriber.tokenRequests, 2);
    assertSaw(subscriber, await broker.events(stream.key), transport);
  },
  { concurrency: 8 },
);

scenario(
  'without a token function an expired token fails the next connection',
  { transport: SUBSCRIBE },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('expired');
    // Long enough for the agent to start.
    const { token } = await broker.call('/stream/token', { key: stream.key, ttl: 10 });
    const subscriber = fixture.subscribe(client, transport, stream, proxy, { token });
    await subscriber.until(() => subscriber.events.length === 1, 'the event start');
    await expired(stream.url('sse'), token);
    proxy.cutAll();
    const outcome = await subscriber.over();
    assert.equal(outcome.type, 'failed');
    assert.equal(outcome.code, 'token-expired');
  },
  { concurrency: 8 },
);

scenario(
  'a new token that is refused fails the subscription',
  { transport: SUBSCRIBE },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('refused');
    const subscriber = fixture.subscribe(client, transport, stream, broker, FROM_FUNCTION);
    await subscriber.until(() => subscriber.tokenRequests === 1, 'the request for a token');
    subscriber.send({ token: 'no token' });
    const outcome = await subscriber.over();
    assert.equal(outcome.type, 'failed');
    assert.equal(outcome.code, 'unauthorized');
    assert.equal(subscriber.tokenRequests, 1);
  },
  { concurrency: 8 },
);

scenario(
  'tokens are sent in the header, which logs do not contain',
  { transport: SUBSCRIBE },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('header');
    const subscriber = fixture.subscribe(client, transport, stream, proxy);
    await subscriber.until(() => subscriber.events.length === 1, 'the event start');
    proxy.cutAll();
    await broker.end(stream.key);
    await subscriber.over();
    assert.ok(proxy.gets.length >= 2);
    for (const { target, headers } of proxy.gets) {
      assert.equal(headers.authorization, `Bearer ${stream.token}`);
      assert.ok(!target.includes(stream.token));
    }
  },
  { concurrency: 8 },
);
