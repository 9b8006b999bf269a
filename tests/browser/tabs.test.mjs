// Tabs side by side, and what a closed one leaves behind.

import assert from 'node:assert/strict';
import { numberOf, inEachBrowser, range, until } from './harness.mjs';

// So long that no heartbeat comes to the aid of a broker that does not look after its clients by
// itself.
const NEVER = '3600';

inEachBrowser('two tabs see the same events under the same ids', async (scene) => {
  const broker = await scene.broker();
  const stream = await broker.stream('shared');
  const tabs = [await scene.tab(), await scene.tab()];
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

inEachBrowser('a closed tab that followed by EventSource frees its slot', async (scene) => {
  // In exclusive delivery the broker itself must look whether the client is there, as each holds a
  // Redis connection.
  const broker = await scene.broker({ STREAMER_HEARTBEAT: scene.store === 'redis' ? NEVER : '1' });
  const stream = await broker.stream('left');
  const tabs = [await scene.tab(), await scene.tab()];
  for (const tab of tabs) {
    await tab.evaluate((url) => followEvents(url, ['start']), stream.sse());
    await tab.waitForFunction(() => seen.length === 1);
  }
  assert.equal(await broker.connectionsInUse(), 2);
  await tabs[0].close();
  await until(async () => (await broker.connectionsInUse()) === 1, 'one slot is free');
  await tabs[1].evaluate(() => source.close());
  await until(async () => (await broker.connectionsInUse()) === 0, 'both slots are free');
});

inEachBrowser('a closed tab that followed by WebSocket frees its slot', async (scene) => {
  const broker = await scene.broker({ STREAMER_HEARTBEAT: NEVER });
  const stream = await broker.stream('left');
  const tabs = [await scene.tab(), await scene.tab()];
  for (const tab of tabs) {
    await tab.evaluate((url) => followSocket(url), stream.ws());
    await tab.waitForFunction(() => seen.length === 1);
  }
  assert.equal(await broker.connectionsInUse(), 2);
  await tabs[0].close();
  await until(async () => (await broker.connectionsInUse()) === 1, 'one slot is free');
  await tabs[1].evaluate(() => socket.close());
  await until(async () => (await broker.connectionsInUse()) === 0, 'both slots are free');
});

inEachBrowser('a newcomer gets the last slot when the tab that had it has gone', async (scene) => {
  const broker = await scene.broker({ STREAMER_HEARTBEAT: NEVER, STREAMER_MAX_CLIENTS: '1' });
  const proxy = await scene.proxy(broker);
  const stream = await broker.stream('last slot');
  for (let visit = 0; visit < 3; visit += 1) {
    const tab = await scene.tab();
    await tab.evaluate((url) => followEvents(url, ['start']), stream.sse(proxy));
    await tab.waitForFunction(() => seen.length === 1);
    await tab.close();
  }
  assert.deepEqual(
    proxy.gets.map(({ status }) => status),
    [200, 200, 200],
  );
});
