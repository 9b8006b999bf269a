// What a short chat must do: reloads, a second tab, stops, failures, outages.

import assert from 'node:assert/strict';
import { until } from '../support/processes.mjs';
import { ask, hashOf, note, notes, openTab, shown, shows, stop } from './chat.mjs';
import { textOf } from './model.mjs';
import { Client } from './reader.mjs';

/** Runs the tests. `inChat(name, body)` runs one of them. */
export function testChat(inChat) {
  inChat('an answer survives reloads, and a second tab shows it', async (fixture) => {
    const tab = await openTab(fixture);
    assert.deepEqual([await shown(tab), await note(tab)], ['', '']);
    await ask(tab, { words: 200, hold: 50 });
    await shows(tab, textOf(50));
    await tab.reload();
    await shows(tab, textOf(50));
    const second = await openTab(fixture, hashOf(tab));
    await shows(second, textOf(50));
    fixture.model.release();
    const third = await openTab(fixture, hashOf(tab));
    for (const page of [tab, second, third]) {
      await notes(page, 'ended');
      assert.equal(await shown(page), textOf(200));
    }
    assert.equal(fixture.model.calls.length, 1);
    // The next question replaces the answer.
    await ask(tab, { words: 5 });
    await notes(tab, 'ended');
    assert.equal(await shown(tab), textOf(5));
  });

  inChat('a stop in the other tab ends the model', async (fixture) => {
    const tab = await openTab(fixture);
    await ask(tab, { words: 50, hang: true });
    await shows(tab, textOf(50));
    const second = await openTab(fixture, hashOf(tab));
    await shows(second, textOf(50));
    await stop(second);
    await fixture.model.until('left');
    for (const page of [tab, second]) {
      await page.waitForFunction(() => /^cancelled: stop/.test(now.textContent));
      assert.equal(await shown(page), textOf(50));
    }
  });

  inChat('the page shows that the model failed, and no secret', async (fixture) => {
    const tab = await openTab(fixture);
    await ask(tab, { words: 50, fail: true });
    await notes(tab, 'failed: error: The producer failed');
    assert.equal(await shown(tab), textOf(50));
    await ask(tab, { refuse: true });
    await notes(tab, 'failed: error: The producer failed');
    assert.equal(await shown(tab), '');
  });

  inChat('the page shows that the backend died', async (fixture) => {
    const tab = await openTab(fixture);
    await ask(tab, { words: 50, hang: true });
    await shows(tab, textOf(50));
    const { url, apiKey } = fixture.node;
    const client = new Client({ url, apiKey });
    const key = decodeURIComponent(hashOf(tab).slice(1));
    assert.ok((await client.streamInfo(key)).lease_expires_at, 'there is a lease');
    await fixture.backend.kill();
    // Without a producer nobody renews this lease, which is shorter than 30 seconds.
    await client.renewStream(key, { lease: 2 });
    await tab.waitForFunction(() => /^abandoned/.test(now.textContent));
    assert.equal(await shown(tab), textOf(50));
  });

  inChat('an outage and an expired token lose nothing', async (fixture) => {
    const tab = await openTab(fixture);
    await ask(tab, { words: 200, hold: 50 });
    await shows(tab, textOf(50));
    let refused = 0;
    await tab.route('**/api/client/sse?*', (route) => {
      if (refused > 0 || route.request().method() !== 'GET') return route.continue();
      refused += 1;
      return route.fulfill({
        status: 401,
        headers: { 'Access-Control-Allow-Origin': '*' },
        json: { code: 'token-expired', message: 'Expired' },
      });
    });
    const renewed = tab.waitForRequest(/\/answers\/.+/);
    fixture.proxy.refusing = true;
    fixture.proxy.cutAll();
    await notes(tab, 'reconnecting');
    fixture.proxy.refusing = false;
    await renewed;
    await until(() => refused === 1, 'the broker has refused the token');
    fixture.model.release();
    await notes(tab, 'ended');
    assert.equal(await shown(tab), textOf(200));
  });

  inChat('the page shows that there is no such answer, and no broker', async (fixture) => {
    const tab = await openTab(fixture, `#answer-${'0'.repeat(32)}`);
    await tab.waitForFunction(() => now.textContent.includes('Not Found'));
    await fixture.node.kill();
    const other = await openTab(fixture);
    await other.locator('#ask').fill('anything');
    await other.getByText('Ask', { exact: true }).click();
    await other.waitForFunction(() => now.textContent.includes('Service Unavailable'));
    assert.equal(hashOf(other), '');
  });
}
