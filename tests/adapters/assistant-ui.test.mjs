// Chats of assistant-ui: the decoders of its pages, and the handlers of the README in processes of
// their own.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AssistantMessageAccumulator, DataStreamDecoder } from 'assistant-stream';
import { question, textOf } from '../support/answers.mjs';
import { assertText, onlyCall, startChats, until } from './support.mjs';

const KEY = 'assistant-ui:s';
const start = (t) => startChats(t, 'assistant-ui');

/** Reads a response as `useDataStreamRuntime` of assistant-ui does. */
function openPage(request) {
  const page = { text: '', closing: new AbortController() };
  const parts = async () => {
    const response = await request(page.closing.signal);
    assert.equal(response.status, 200);
    return response.body
      .pipeThrough(new DataStreamDecoder())
      .pipeThrough(new AssistantMessageAccumulator());
  };
  page.over = (async () => {
    for await (const message of await parts()) {
      page.message = message;
      const texts = message.parts.filter(({ type }) => type === 'text');
      page.text = texts.map(({ text }) => text).join('');
    }
  })().catch((error) => {
    page.error = error;
  });
  return page;
}

const send = (url, script) =>
  openPage((signal) => {
    const body = JSON.stringify({ prompt: question(script) });
    return fetch(`${url}/api/chat?id=s`, { method: 'POST', body, signal });
  });
const join = (url) => openPage((signal) => fetch(`${url}/api/chat?id=s`, { signal }));
const hasText = (page, length) =>
  until(() => page.text.length > length, () => `the page has text: ${page.error}`);

/** The text that the broker keeps. */
async function storedText({ client }) {
  const events = await client.streamEvents(KEY);
  const stored = events.filter(({ event }) => event === 'text').map(({ data }) => JSON.parse(data));
  const page = openPage(async () => new Response(stored.join('')));
  await page.over;
  return page.text;
}

test('an answer comes whole, to its page and to one at another node', async (t) => {
  const chats = await start(t);
  const page = send(chats.first.url, { words: 300, delay: 3 });
  await hasText(page, 100);
  const other = join(chats.second.url);
  // A repeated request is a reader, too.
  const again = send(chats.second.url, { words: 1 });
  await Promise.all([page.over, other.over, again.over]);
  const late = join(chats.second.url);
  await late.over;
  for (const { text, error } of [page, other, again, late]) {
    assert.equal(error, undefined);
    assertText(text, textOf(300));
  }
  assert.deepEqual(late.message.status, page.message.status);
  assert.equal((await onlyCall(chats.first)).state, 'finished');
  assert.deepEqual(await chats.second.calls(), []);
  assert.equal((await chats.client.streamInfo(KEY)).status, 'ended');
});

test('a page that is reloaded in mid-answer gets the whole answer', async (t) => {
  const chats = await start(t);
  const page = send(chats.first.url, { words: 300, delay: 3 });
  await hasText(page, 200);
  page.closing.abort();
  await page.over;
  const again = join(chats.second.url);
  await again.over;
  assertText(again.text, textOf(300));
  assert.equal((await onlyCall(chats.first)).state, 'finished');
});

test('connections of the producer that break lose nothing', async (t) => {
  const chats = await start(t);
  const page = send(chats.first.url, { words: 300, delay: 3 });
  await hasText(page, 100);
  const other = join(chats.second.url);
  for (const length of [200, 800, 1_400]) {
    await hasText(page, length);
    chats.line.cutAll();
  }
  await Promise.all([page.over, other.over]);
  for (const { text, error } of [page, other]) {
    assert.equal(error, undefined);
    assertText(text, textOf(300));
  }
  assert.ok(chats.line.cuts >= 3);
});

test('a stop from another page ends the model, and keeps the text', async (t) => {
  const chats = await start(t);
  const page = send(chats.first.url, { words: 5_000, delay: 2 });
  await hasText(page, 200);
  const other = join(chats.second.url);
  await hasText(other, 200);
  const stop = await fetch(`${chats.second.url}/api/chat?id=s`, { method: 'DELETE' });
  assert.equal(stop.status, 204);
  await Promise.all([page.over, other.over]);
  const stored = await storedText(chats);
  assert.ok(textOf(5_000).startsWith(stored) && stored.length < textOf(5_000).length);
  for (const { text, error } of [page, other]) {
    assert.equal(error, undefined);
    assertText(text, stored);
  }
  await until(async () => (await onlyCall(chats.first)).state === 'aborted', 'the model stops');
  const { status, reason } = await chats.client.streamInfo(KEY);
  assert.deepEqual([status, reason], ['cancelled', { reason: 'stop', by: 'api-key' }]);
});

test('a stop reaches a model that says nothing', async (t) => {
  const chats = await start(t);
  const page = send(chats.first.url, { words: 20, hang: true });
  await hasText(page, textOf(20).length - 1);
  await fetch(`${chats.second.url}/api/chat?id=s`, { method: 'DELETE' });
  await page.over;
  assert.equal(page.error, undefined);
  assertText(page.text, textOf(20));
  assert.equal((await onlyCall(chats.first)).state, 'aborted');
});

test('when the producer dies, readers get what it wrote, and an error', async (t) => {
  const chats = await start(t);
  const page = send(chats.first.url, { words: 50, hang: true });
  await hasText(page, 100);
  const other = join(chats.second.url);
  await until(() => other.text.length === textOf(50).length, 'the other page has all');
  await chats.first.kill();
  // So that the test does not wait for the whole lease.
  await chats.client.renewStream(KEY, { lease: 2 });
  await Promise.all([page.over, other.over]);
  assert.ok(page.error);
  assert.ok(other.error);
  assertText(other.text, textOf(50));
  assert.equal((await chats.client.streamInfo(KEY)).status, 'abandoned');
});

test('when the model fails, all readers get the same', async (t) => {
  const chats = await start(t);
  const page = send(chats.first.url, { words: 50, delay: 2, fail: true });
  await hasText(page, 50);
  const other = join(chats.second.url);
  await Promise.all([page.over, other.over]);
  for (const { text, message } of [page, other]) {
    assertText(text, textOf(50));
    // assistant-ui writes the error into its stream, and ends it.
    assert.equal(message.status.type, 'incomplete');
    assert.match(JSON.stringify(message.status), /The model is overloaded/);
  }
});
