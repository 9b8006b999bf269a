// Tabs that share one connection to the broker.

import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { inEachBrowser, onStores, until } from './harness.mjs';
import { hasLed, startHiding, startShared, stateOf } from './shared-tabs.mjs';

// Most of the time is waits: for heartbeats, and for a tab that hangs.
describe('tabs that share one connection', { concurrency: 3 }, () => {
  inEachBrowser(
    'three tabs share one connection, also when the leading one is closed in mid-answer',
    async (fixture) => {
      const shared = await startShared(fixture);
      const tabs = [await shared.open(), await shared.open(), await shared.open()];
      await shared.shared(...tabs);
      await shared.add(50);
      await shared.arrived(...tabs);
      await shared.connections(1);

      const adding = (async () => {
        for (let n = 0; n < 20; n += 1) await shared.add(5);
      })();
      await tabs.shift().close();
      await adding;
      await shared.arrived(...tabs);
      const late = await shared.open();
      await shared.shared(...tabs, late);
      await shared.add(5);
      await shared.arrived(...tabs, late);
      assert.equal(await late.evaluate(() => events.requestStop()), 1);
      await shared.assertWhole([...tabs, late]);
    },
    ['memory'],
  );

  onStores(
    'tabs with different names do not share',
    async (fixture) => {
      const shared = await startShared(fixture);
      const alice = [await shared.open(), await shared.open()];
      await shared.shared(...alice);
      const openForBob = () => shared.open({ shareTabs: 'bob' });
      const bob = [await openForBob(), await openForBob()];
      await shared.add(5);
      await shared.arrived(...alice, ...bob);
      await shared.connections(2);
      await shared.assertWhole([...alice, ...bob]);
    },
    ['memory'],
  );

  onStores(
    'a tab takes over when the leading one crashes',
    async (fixture) => {
      const shared = await startShared(fixture);
      const tabs = [await shared.open(), await shared.open(), await shared.open()];
      await shared.shared(...tabs);
      await shared.add(10);
      const [leading, ...others] = tabs;
      assert.ok(await hasLed(leading));
      const session = await leading.context().newCDPSession(leading);
      const crashed = new Promise((resolve) => leading.once('crash', resolve));
      session.send('Page.crash').catch(() => {});
      await shared.add(10);
      await crashed;
      await shared.add(10);
      await shared.arrived(...others);
      await shared.connections(1);
      await shared.assertWhole(others);
    },
    ['memory'],
  );

  onStores(
    'a tab takes over when the leading one is frozen, and that one goes on later',
    async (fixture) => {
      const shared = await startShared(fixture);
      shared.newTab = await startHiding(fixture);
      const tabs = [await shared.open(), await shared.open()];
      await shared.shared(...tabs);
      const [leading, other] = tabs;
      assert.ok(await hasLed(leading));
      const session = await leading.createCDPSession();
      await session.send('Page.setWebLifecycleState', { state: 'frozen' });
      await until(() => hasLed(other), 'the other tab leads');
      await shared.add(30);
      await shared.arrived(other);
      await shared.connections(1);
      await session.send('Page.setWebLifecycleState', { state: 'active' });
      await shared.arrived(...tabs);
      await shared.connections(1);
      await shared.add(5);
      await shared.assertWhole(tabs);
    },
    ['memory'],
  );

  onStores(
    'a tab takes over when the leading one hangs, and that one joins later',
    async (fixture) => {
      const shared = await startShared(fixture);
      const tabs = [await shared.open(), await shared.open({ tabSilenceMs: 500 })];
      await shared.shared(...tabs);
      const [leading, other] = tabs;
      await leading.evaluate(() => {
        const hang = () => {
          for (const end = performance.now() + 5_000; performance.now() < end; );
          window.hung = true;
        };
        setTimeout(hang, 0);
      });
      await shared.add(30);
      await shared.arrived(other);
      await until(() => hasLed(other), 'the other tab leads');
      await leading.waitForFunction(() => window.hung);
      await shared.arrived(leading);
      await shared.connections(1);
      assert.ok((await stateOf(leading)).log.some((message) => /has taken over/.test(message)));
      await shared.add(5);
      await shared.assertWhole(tabs);
    },
    ['memory'],
  );

  onStores(
    'tabs get every event over a line that is cut, and over two nodes of which one stops',
    async (fixture) => {
      const second = await fixture.broker();
      const shared = await startShared(fixture, { STREAMER_DELIVERY: 'shared' });
      const proxy = await fixture.proxy(shared.broker, second);
      const tabs = [];
      for (let tab = 0; tab < 3; tab += 1) tabs.push(await shared.open({}, proxy));
      await shared.shared(...tabs);
      for (let cut = 0; cut < 3; cut += 1) {
        proxy.cutAll();
        await shared.add(10, second);
        await shared.arrived(...tabs);
      }
      const before = proxy.gets.length;
      shared.broker.terminate();
      await until(() => proxy.gets.at(-1).upstream === second.port, 'a tab is at the second node');
      await shared.add(10, second);
      await shared.arrived(...tabs);
      assert.ok(proxy.gets.length - before <= 2, 'one tab connects again');
      await shared.assertWhole(tabs, second);
    },
    ['redis'],
  );

  onStores(
    'only the leading tab asks for another token',
    async (fixture) => {
      const shared = await startShared(fixture);
      const proxy = await fixture.proxy(shared.broker);
      const { token } = shared.stream;
      const tokens = [token, token];
      const tabs = [await shared.open({ tokens }, proxy), await shared.open({ tokens }, proxy)];
      await shared.shared(...tabs);
      const expired = { code: 'token-expired', message: 'The token has expired' };
      const cut = { status: 401, body: JSON.stringify(expired) };
      const context = await fixture.context();
      let refusals = 0;
      await context.route(/\/api\/client\/sse/, (route) => {
        refusals += 1;
        return refusals === 1
          ? route.fulfill({ ...cut, headers: { 'access-control-allow-origin': '*' } })
          : route.fallback();
      });
      proxy.cutAll();
      await shared.add(10);
      await shared.arrived(...tabs);
      const accesses = [];
      for (const tab of tabs) accesses.push((await stateOf(tab)).accesses);
      assert.deepEqual(accesses, [2, 1]);
      await shared.assertWhole(tabs);
    },
    ['memory'],
  );

  onStores(
    'a slow reader does not slow the other tabs down, and gets every event',
    async (fixture) => {
      const shared = await startShared(fixture);
      const slow = await shared.open({ isSlow: true });
      const others = [await shared.open(), await shared.open()];
      await shared.shared(slow, ...others);
      for (let part = 0; part < 6; part += 1) {
        await shared.add(500);
        await shared.arrived(...others);
      }
      assert.ok((await stateOf(slow)).seen.length === 1);
      await slow.evaluate(() => goOn());
      await shared.arrived(slow);
      await shared.connections(1);
      await shared.assertWhole([slow, ...others]);
    },
    ['memory'],
  );
});
