// Several tabs, and the connections of a closed one.

import assert from 'node:assert/strict';
import { numberOf, inEachBrowser, range, until } from './harness.mjs';

// So long that the broker must notice a closed tab without a heartbeat.
const NEVER = '3600';

inEachBrowser('two tabs see the same events under the same ids', async (fixture) => {
  const broker = await fixture.broker();
  const stream = await broker.stream('shared');
  const tabs = [await fixture.tab(), await fixture.tab()];
  for (const tab of tabs) {
    await tab.evaluate((url) => followEvents(url, ['start', 'token', 'end']), stream.sse());
    await broker.add(
      stream.key,
      range(0, 50).map((n) => ({ event: 'token', data: `${n}` })),
    );
  }
  await broker.end(stream.key);
  for (const tab of tabs) await tab.waitForFunction(() => source.readyState === EventSource.CLOSED);
  const [one, other] = await Promise.all(tabs.map((tab) => tab.evaluate(() => seen)));
  assert.deepEqual(
    one.map(({ id }) => numberOf(id)),
    range(0, 102),
  );
  assert.deepEqual(one, other);
});

inEachBrowser('a closed tab with EventSource closes its connection', async (fixture) => {
  // With exclusive delivery each subscriber has a Redis connection, so the broker must check
  // whether the subscriber has left.
  const broker = await fixture.broker({
    STREAMER_HEARTBEAT: fixture.store === 'redis' ? NEVER : '1',
  });
  const stream = await broker.stream('left');
  const tabs = [await fixture.tab(), await fixture.tab()];
  for (const tab of tabs) {
    await tab.evaluate((url) => followEvents(url, ['start']), stream.sse());
    await tab.waitForFunction(() => seen.length === 1);
  }
  assert.equal(await broker.connectionsInUse(), 2);
  await tabs[0].close();
  await until(async () => (await broker.connectionsInUse()) === 1, 'one connection is closed');
  await tabs[1].evaluate(() => source.close());
  await until(async () => (await broker.connectionsInUse()) === 0, 'both connections are closed');
});

inEachBrowser('a closed tab with WebSocket closes its connection', async (fixture) => {
  const broker = await fixture.broker({ STREAMER_HEARTBEAT: NEVER });
  const stream = await broker.stream('left');
  const tabs = [await fixture.tab(), await fixture.tab()];
  for (const tab of tabs) {
    await tab.evaluate((url) => followSocket(url), stream.ws());
    await tab.waitForFunction(() => seen.length === 1);
  }
  assert.equal(await broker.connectionsInUse(), 2);
  await tabs[0].close();
  await until(async () => (await broker.connectionsInUse()) === 1, 'one connection is closed');
  await tabs[1].evaluate(() => socket.close());
  await until(async () => (await broker.connectionsInUse()) === 0, 'both connections are closed');
});

inEachBrowser(
  'a new tab is admitted when the last connection was closed with its tab',
  async (fixture) => {
    const broker = await fixture.broker({ STREAMER_HEARTBEAT: NEVER, STREAMER_MAX_CLIENTS: '1' });
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('last connection');
    for (let visit = 0; visit < 3; visit += 1) {
      const tab = await fixture.tab();
      await tab.evaluate((url) => followEvents(url, ['start']), stream.sse(proxy));
      await tab.waitForFunction(() => seen.length === 1);
      await tab.close();
    }
    assert.deepEqual(
      proxy.gets.map(({ status }) => status),
      [200, 200, 200],
    );
  },
);
