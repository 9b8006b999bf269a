// Chats in Chromium in which something fails: the backend, the model, a token, a node of the
// broker.

import assert from 'node:assert/strict';
import { until } from '../browser/harness.mjs';
import { textOf } from '../support/answers.mjs';
import {
  LONG,
  ask,
  hasStatus,
  hasText,
  inChromium,
  messageText,
  openTab,
  roles,
  startChat,
  textIn,
} from './chromium.mjs';

inChromium('when the backend dies, the page learns it, and keeps the text', async (fixture) => {
  const chat = await startChat(fixture, { lease: 2 });
  const tab = await openTab(fixture, chat);
  await ask(tab, { words: 100_000, delay: 4 });
  await hasText(tab, 200);
  await chat.kill();
  await hasStatus(tab, 'error');
  assert.match(await tab.locator('output').textContent(), /went silent/);
  assert.equal(await tab.evaluate(() => window.chat.error.code), 'stream-abandoned');
  const text = await textIn(tab);
  assert.ok(text.length > 200 && textOf(100_000).startsWith(text));
});

inChromium('when the model fails, the page shows it, and no secret', async (fixture) => {
  const chat = await startChat(fixture);
  const tab = await openTab(fixture, chat);
  await ask(tab, { words: 50, delay: 4, fail: true });
  await hasStatus(tab, 'error');
  assert.equal(await tab.locator('output').textContent(), 'An error occurred.');
  const [{ status, message }] = await chat.finished();
  assert.equal(status, 'failed');
  assert.equal(await textIn(tab), messageText(message));
  // The answer can be made again.
  await tab.evaluate(() => void window.chat.regenerate());
  await chat.finished(2);
});

inChromium('a token that expires is renewed in mid-answer', async (fixture) => {
  const chat = await startChat(fixture, { stream: { ttl: 1 } });
  const tab = await openTab(fixture, chat);
  await ask(tab, { words: 250, delay: 12 });
  await hasText(tab, 1_100);
  chat.proxy.cutAll();
  await hasStatus(tab, 'ready');
  assert.equal(await textIn(tab), textOf(250));
  assert.equal(await tab.evaluate(() => window.chat.error), undefined);
  const refused = chat.proxy.requests.filter(({ status }) => status === 401);
  assert.ok(refused.length > 0, 'the broker has refused a token');
});

inChromium(
  'when a node of the broker dies, another one goes on',
  async (fixture) => {
    const chat = await startChat(fixture, {}, 2);
    const tab = await openTab(fixture, chat);
    await ask(tab, LONG);
    await hasText(tab, 200);
    await chat.brokers[0].kill();
    await hasStatus(tab, 'ready');
    assert.equal(await textIn(tab), textOf(200));
    const [{ status, message }] = await chat.finished();
    assert.deepEqual([status, messageText(message)], ['ended', textOf(200)]);
    assert.equal((await chat.state()).calls.length, 1);
    assert.deepEqual(chat.proxy.upstreams, [chat.brokers[1]]);
  },
  'redis',
);

inChromium('a page that fails in mid-answer keeps the text, and can resume it', async (fixture) => {
  const chat = await startChat(fixture, { stream: { ttl: 1 } });
  const tab = await openTab(fixture, chat);
  await tab.route('**/api/chat?*', (route) => route.fulfill({ status: 500, body: 'no backend' }));
  await ask(tab, { words: 250, delay: 12 });
  await hasText(tab, 1_100);
  chat.proxy.cutAll();
  await hasStatus(tab, 'error');
  const text = await textIn(tab);
  assert.ok(text.length >= 1_100 && textOf(250).startsWith(text));
  await tab.unroute('**/api/chat?*');
  await tab.evaluate(() => void window.chat.resumeStream());
  await hasStatus(tab, 'ready');
  await until(async () => (await textIn(tab)) === textOf(250), 'the text is whole');
  assert.deepEqual(await roles(tab), ['user', 'assistant']);
});
