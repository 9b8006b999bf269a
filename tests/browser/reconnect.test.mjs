// Connections that break and nodes that stop. Browsers reconnect by themselves, and no event is
// lost or repeated.

import assert from 'node:assert/strict';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  LONG_ENOUGH_TO_RECONNECT,
  numberOf,
  inEachBrowser,
  random,
  range,
  until,
} from './harness.mjs';

const CUTS = 24;
const EVENTS = 2_000;

inEachBrowser(
  'a page whose connection is cut dozens of times gets every event once, in order',
  async (fixture) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('cut', { max_events: 10_000 });
    // Cuts by bytes hit frames in the middle and responses in their head. Cuts by time hit silent
    // connections, too. Firefox gives up for good when a connection breaks inside the head of a
    // response, which has less than a thousand bytes.
    const least = fixture.browser === 'firefox' ? 1_000 : 1;
    proxy.allowance = () =>
      proxy.cuts < CUTS && Math.random() < 0.8 ? random(least, 6_000) : Infinity;

    const tab = await fixture.tab();
    await tab.evaluate(
      (url) => followEvents(url, ['start', 'token', 'end', 'missedevents']),
      stream.sse(proxy),
    );
    const upload = broker.upload(stream.key);
    for (let written = 0; written < EVENTS; ) {
      const burst = Math.min(random(1, 40), EVENTS - written);
      for (let i = 0; i < burst; i += 1, written += 1)
        upload.line({ event: 'token', data: `${written}\n${'🦀'.repeat(random(0, 20))}` });
      // Waits for the cuts, so that they are spread from the first event to the last.
      while (proxy.cuts < Math.floor((written / EVENTS) * CUTS)) {
        assert.ok(
          await tab.evaluate(() => source.readyState !== EventSource.CLOSED),
          'the page has given up',
        );
        if (Math.random() < 0.1) proxy.cutAll();
        await sleep(20);
      }
    }
    const summary = await upload.finish();
    assert.equal(summary.num_events, EVENTS);
    assert.ok(proxy.cuts >= CUTS, `${proxy.cuts} cuts`);
    // A later cut would come after the end.
    proxy.allowance = () => Infinity;
    await broker.end(stream.key);
    await tab.waitForFunction(() => source.readyState === EventSource.CLOSED);

    const events = await broker.call(`/stream/events?key=${stream.key}`);
    const seen = await tab.evaluate(() => seen);
    assert.deepEqual(
      seen.map(({ id }) => numberOf(id)),
      range(0, EVENTS + 2),
    );
    assert.deepEqual(
      seen.map(({ id, event, data }) => ({ id, event, data })),
      events.map(({ id, event, data = '' }) => ({ id, event, data })),
    );

    // Each time the browser requested the events after its last one, and after the last response it
    // did not request again.
    const requests = proxy.gets;
    await sleep(LONG_ENOUGH_TO_RECONNECT);
    assert.equal(proxy.gets.length, requests.length);
    const resumed = requests
      .map(({ headers }) => headers['last-event-id'])
      .filter(Boolean)
      .map(numberOf);
    assert.ok(
      resumed.length >= CUTS / 2,
      `${resumed.length} of ${requests.length} requests resumed`,
    );
    assert.deepEqual(
      resumed,
      resumed.toSorted((a, b) => a - b),
    );
    assert.equal(requests.at(-1).status, 204);
    assert.equal(requests.at(-1).headers['last-event-id'], seen.at(-1).id);
    assert.ok(requests.slice(0, -1).every(({ status }) => status === 200 || status === null));
  },
);

inEachBrowser(
  'Chromium reconnects when the head of a response is cut off, and Firefox gives up',
  async (fixture) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    proxy.cutMode = () => 'reset';
    proxy.allowance = () => (proxy.cuts === 0 ? 50 : Infinity);
    const stream = await broker.stream('head');
    const tab = await fixture.tab();
    await tab.evaluate((url) => followEvents(url, ['start']), stream.sse(proxy));
    await tab.waitForFunction(() => seen.length === 1 || source.readyState === EventSource.CLOSED);
    const givesUp = fixture.browser === 'firefox';
    assert.deepEqual(
      await tab.evaluate(() => [seen.length, source.readyState === EventSource.CLOSED]),
      givesUp ? [0, true] : [1, false],
    );
    // This is what docs/guides/other-clients.md recommends to a page.
    if (givesUp) await tab.evaluate((url) => followEvents(url, ['start']), stream.sse(proxy));
    await tab.waitForFunction(() => seen.length === 1);
  },
  ['memory'],
);

inEachBrowser(
  'pages continue at a second node when the first is stopped, and get every event once',
  async (fixture) => {
    const first = await fixture.broker({ STREAMER_SHUTDOWN_GRACE: '60' });
    const second = await fixture.broker();
    const proxy = await fixture.proxy(first, second);
    const stream = await second.stream('two nodes', { max_events: 10_000 });
    const names = ['start', 'token', 'end', 'missedevents'];
    const tab = await fixture.tab();
    await tab.evaluate(([url, names]) => followEvents(url, names), [stream.sse(proxy), names]);
    const socketTab = await fixture.tab();
    await socketTab.evaluate((url) => followSocketForGood(url), stream.ws(proxy));
    const stalled = await stall(first, await bigStream(second));

    let written = 0;
    const writeUpTo = async (count) => {
      for (; written < count; written += 1) {
        await second.add(stream.key, [{ event: 'token', data: `${written}` }]);
        await sleep(random(0, 10));
      }
    };
    await writeUpTo(200);
    first.terminate();
    await writeUpTo(400);
    // The stalled subscriber keeps the first node in its grace period, while the pages reconnect.
    await until(
      () => proxy.gets.filter(({ upstream }) => upstream === second.port).length === 2,
      'both pages are at the second node',
    );
    assert.equal(first.child.exitCode, null);
    stalled.destroy();
    assert.deepEqual(await first.gone, { code: 0, signal: null });
    await writeUpTo(500);
    await second.end(stream.key);

    await tab.waitForFunction(() => source.readyState === EventSource.CLOSED);
    await socketTab.waitForFunction(() => states.at(-1)?.code === 1000);
    const [seen, seenBySocket] = [
      await tab.evaluate(() => seen),
      await socketTab.evaluate(() => seen),
    ];
    const expected = ['', ...range(0, 500).map(String), ''];
    assert.deepEqual(
      seen.map(({ id }) => numberOf(id)),
      range(0, 502),
    );
    assert.deepEqual(
      seen.map(({ data }) => data),
      expected,
    );
    assert.deepEqual(
      seenBySocket.map(({ id }) => numberOf(id)),
      range(0, 502),
    );
    assert.deepEqual(
      seenBySocket.map(({ data = '' }) => data),
      expected,
    );
    assert.equal((await socketTab.evaluate(() => states))[0].code, 1012);
    assert.deepEqual(
      [...new Set(proxy.gets.map(({ upstream }) => upstream))],
      [first.port, second.port],
    );
    // A node that stops still listens for a while. It refuses WebSockets with 503, after which
    // pages reconnect. For EventSource a 503 would be final. A request in the node's last moment
    // may get no response (null). Pages reconnect after it, as after any break.
    const statuses = (transport) =>
      new Set(
        proxy.gets
          .filter(({ target, status }) => target.includes(`/${transport}?`) && status !== null)
          .map(({ status }) => status),
      );
    assert.deepEqual(statuses('sse'), new Set([200, 204]));
    assert.ok([...statuses('ws')].every((status) => status === 101 || status === 503));
  },
  ['redis'],
);

/** Follows a stream at this broker and never reads. */
async function stall(broker, stream) {
  const { pathname, search } = new URL(stream.sse(broker));
  const socket = net.connect({
    port: broker.port,
    host: '127.0.0.1',
    onread: { buffer: Buffer.alloc(1), callback: () => false },
  });
  socket.on('error', () => {});
  socket.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: broker\r\n\r\n`);
  await until(
    async () => (await broker.connectionsInUse()) >= 3,
    'the stalled subscriber is connected',
  );
  return socket;
}

/** More than the system buffers for a subscriber that does not read. */
async function bigStream(broker) {
  const stream = await broker.stream('big', { max_events: 1_000 });
  const data = 'x'.repeat(500_000);
  for (let i = 0; i < 40; i += 1) await broker.add(stream.key, [{ event: 'token', data }]);
  return stream;
}
