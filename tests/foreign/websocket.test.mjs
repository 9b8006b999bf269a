// What `reconnecting-websocket` does at the end of a stream, and when its connection breaks.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import ReconnectingWebSocket from 'reconnecting-websocket';
import { WebSocket } from 'ws';
import { numberOf, range } from '../support/ids.mjs';
import { DEADLINE, until } from '../support/processes.mjs';
import { RecordingProxy } from '../support/proxy.mjs';
import { Fixture } from '../support/fixture.mjs';

const OPTIONS = { WebSocket, minReconnectionDelay: 20, maxReconnectionDelay: 50 };

const withFixture = (name, body) =>
  test(name, { timeout: 3 * DEADLINE }, async ({ signal }) => {
    const fixture = new Fixture('memory');
    signal.addEventListener('abort', () => fixture.close().catch(() => {}));
    try {
      const broker = await fixture.broker();
      const stream = await broker.stream('chat');
      await body(broker, stream, await fixture.listen(new RecordingProxy([broker])));
    } finally {
      await fixture.close();
    }
  });

withFixture(
  'with a fixed URL it reconnects after the close 1000, and receives all events each time',
  async (broker, stream, proxy) => {
    await broker.end(stream.key);
    const socket = new ReconnectingWebSocket(stream.ws(proxy), [], OPTIONS);
    const seen = [];
    const codes = [];
    socket.onmessage = ({ data }) => seen.push(...[JSON.parse(data)].flat());
    socket.onclose = ({ code }) => codes.push(code);
    await until(() => codes.length >= 3, 'it has come back twice');
    socket.close();
    assert.deepEqual([...new Set(codes)], [1000]);
    const times = (name) => seen.filter(({ event }) => event === name).length;
    assert.ok(times('start') >= 3 && times('end') >= 3, 'all of it, each time');
  },
);

withFixture(
  'with the last id in its URL, and closed at the end, it receives each event once',
  async (broker, stream, proxy) => {
    const seen = [];
    let over = false;
    const socket = new ReconnectingWebSocket(
      () => stream.ws(proxy, seen.length > 0 ? { last_event_id: seen.at(-1).id } : {}),
      [],
      OPTIONS,
    );
    socket.onmessage = ({ data }) => seen.push(...[JSON.parse(data)].flat());
    socket.onclose = ({ code }) => {
      if (code !== 1000) return;
      over = true;
      socket.close();
    };
    for (const n of range(0, 100)) {
      await broker.add(stream.key, [{ event: 'token', data: `${n}` }]);
      if (n % 25 !== 10) continue;
      await until(() => seen.at(-1)?.data === `${n}`, `it is at ${n}`);
      proxy.cutAll();
    }
    await broker.end(stream.key);
    await until(() => over, 'it has received the end');
    assert.deepEqual(
      seen.map(({ id }) => numberOf(id)),
      range(0, 102),
    );
    assert.equal(proxy.cuts, 4);
    assert.equal(proxy.gets.at(-1).status, 101);
  },
);
