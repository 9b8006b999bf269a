// Many tabs at once. A browser has six HTTP/1.1 connections for a host.

import assert from 'node:assert/strict';
import { range, until } from '../harness.mjs';
import { consoleBroker, onConsole } from './console.mjs';

const TABS = 8;

onConsole('eight tabs follow a stream each, all at the same time', async (fixture, visit) => {
  const broker = await consoleBroker(fixture);
  const keys = range(0, TABS).map((n) => `stream ${n}`);
  const tabs = [];
  for (const key of keys) {
    await broker.stream(key);
    const tab = await visit(broker);
    await tab.openStream(key);
    await tab.follows('live');
    tabs.push(tab);
  }
  assert.equal(await broker.connectionsInUse(), TABS);
  for (const key of keys) await broker.add(key, [{ event: 'token', data: `for ${key}` }]);
  for (const [n, tab] of tabs.entries()) {
    await tab.page.bringToFront();
    await tab.rows.getByText(`for stream ${n}`).waitFor();
  }
  for (const tab of tabs) await tab.page.close();
  await until(async () => (await broker.connectionsInUse()) === 0, 'all connections are closed');
});
