// Chats in Chromium: reloads, two tabs, a stop, a page that resumes or leaves.

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
import { version } from './packages.mjs';

inChromium('a page that is reloaded in mid-answer gets the whole text', async (fixture) => {
  const chat = await startChat(fixture);
  const tab = await openTab(fixture, chat);
  await ask(tab, LONG);
  for (const length of [100, 600]) {
    await hasText(tab, length);
    await tab.reload();
    await tab.waitForFunction(() => window.chat);
  }
  await hasText(tab, 1_000);
  await hasStatus(tab, 'ready');
  assert.equal(await textIn(tab), textOf(200));
  assert.deepEqual(await roles(tab), ['user', 'assistant']);
  assert.deepEqual(await tab.evaluate(() => window.finishes), [{ isAbort: false, isError: false }]);
  const [{ message, status }] = await chat.finished();
  assert.deepEqual([status, messageText(message)], ['ended', textOf(200)]);
  assert.equal((await chat.state()).calls.length, 1);
  await tab.reload();
  await hasText(tab, 1_000);
  assert.equal(await textIn(tab), textOf(200));
});

inChromium('two tabs show the same answer', async (fixture) => {
  const chat = await startChat(fixture);
  const first = await openTab(fixture, chat);
  await ask(first, LONG);
  await hasText(first, 200);
  const second = await openTab(fixture, chat);
  await hasText(second, 200);
  for (const tab of [first, second]) {
    await hasStatus(tab, 'ready');
    assert.equal(await textIn(tab), textOf(200));
    assert.deepEqual(await roles(tab), ['user', 'assistant']);
  }
});

inChromium(
  'a stop in another tab ends the model, and the partial answer stays',
  async (fixture) => {
    const chat = await startChat(fixture);
    const first = await openTab(fixture, chat);
    await ask(first, { words: 100_000, delay: 4 });
    await hasText(first, 200);
    const second = await openTab(fixture, chat);
    await hasText(second, 200);
    await second.evaluate(() => window.chat.stop());
    const [{ status, message }] = await chat.finished();
    assert.equal(status, 'stopped');
    assert.equal((await chat.state()).calls[0].state, 'aborted');
    for (const tab of [first, second]) await hasStatus(tab, 'ready');
    const saved = messageText(message);
    assert.ok(textOf(100_000).startsWith(saved) && saved.length > 200);
    assert.equal(await textIn(first), saved);
    const there = await textIn(second);
    assert.ok(there.length > 200 && saved.startsWith(there));
    assert.equal(await first.evaluate(() => window.chat.error), undefined);
    await second.reload();
    await hasText(second, 200);
    assert.equal(await textIn(second), saved);
    // The chat goes on.
    await ask(second, { words: 5 });
    await chat.finished(2);
    await hasStatus(second, 'ready');
    assert.equal(await textIn(second), saved + textOf(5));
  },
);

inChromium('resumeStream in a page that has a part of the text shows it once', async (fixture) => {
  const chat = await startChat(fixture);
  const tab = await openTab(fixture, chat);
  await ask(tab, LONG);
  // While the answer comes, and once more while the resumed one does.
  for (const length of [100, 400]) {
    await hasText(tab, length);
    await tab.evaluate(() => void window.chat.resumeStream());
  }
  await chat.finished();
  await hasStatus(tab, 'ready');
  await until(async () => (await textIn(tab)) === textOf(200), 'the text is whole');
  assert.deepEqual(await roles(tab), ['user', 'assistant']);
  const [{ status }] = await chat.finished();
  assert.equal(status, 'ended');
});

for (const [how, query] of [
  ['whose chat is a part of the component', ''],
  ['whose chat is outside of the component', '?outside'],
]) {
  inChromium(`a page ${how} leaves it and comes back`, async (fixture) => {
    const chat = await startChat(fixture);
    const tab = await openTab(fixture, chat, query);
    await ask(tab, LONG);
    await hasText(tab, 200);
    await tab.evaluate(() => window.setOpen(false));
    await tab.waitForFunction(() => !document.querySelector('main'));
    if (version === '7' && query === '') {
      // Its `useChat` calls `stop` when it is unmounted.
      const [{ status }] = await chat.finished();
      assert.equal(status, 'stopped');
      return;
    }
    await tab.evaluate(() => window.setOpen(true));
    const [{ status }] = await chat.finished();
    assert.equal(status, 'ended');
    await until(async () => (await textIn(tab)) === textOf(200), 'the text is whole');
    await hasStatus(tab, 'ready');
  });
}
