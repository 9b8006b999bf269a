// Chats of TanStack AI: its client, and the handlers of the README in processes of their own.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChatClient, fetchServerSentEvents } from '@tanstack/ai-client';
import { question, textOf } from '../support/answers.mjs';
import { assertText, onlyCall, startChats, until } from './support.mjs';

const start = (t) => startChats(t, 'TanStack AI');

/** A page with a chat. With the id of a run it is one that was reloaded. */
function openPage(t, url, runId) {
  const connection = fetchServerSentEvents(`${url}/api/chat`);
  const threadId = 'thread';
  const resume = runId && { initialResumeSnapshot: { resumeState: { threadId, runId } } };
  const errors = [];
  const client = new ChatClient({
    connection,
    threadId,
    onError: (error) => errors.push(error),
    ...resume,
  });
  t.after(() => client.dispose());
  client.attach();
  const parts = () => {
    const last = client.getMessages().findLast(({ role }) => role === 'assistant');
    return (last?.parts ?? []).filter(({ type }) => type === 'text');
  };
  return {
    client,
    errors,
    text: () => parts().map(({ content }) => content).join(''),
    runId: () => client.getCurrentRunId(),
    isOver: () => !client.getIsLoading(),
  };
}

const hasText = (page, length) =>
  until(() => page.text().length > length, 'the page has text', Date.now() + 60_000);
const isOver = (page) => until(page.isOver, 'the answer is over', Date.now() + 60_000);
const keyOf = (runId) => `tanstack-ai:${runId}`;

/** The text that the broker keeps of a run. */
async function storedText({ client }, runId) {
  const events = await client.streamEvents(keyOf(runId));
  return events
    .filter(({ event }) => event === 'chunk')
    .map(({ data }) => JSON.parse(data).delta ?? '')
    .join('');
}

test('an answer comes whole, to its page and to one at another node', async (t) => {
  const chats = await start(t);
  const page = openPage(t, chats.first.url);
  const sent = page.client.sendMessage(question({ words: 300, delay: 3 }));
  await hasText(page, 100);
  const runId = page.runId();
  const other = openPage(t, chats.second.url, runId);
  await sent;
  await isOver(other);
  assertText(page.text(), textOf(300));
  assertText(other.text(), textOf(300));
  const late = openPage(t, chats.second.url, runId);
  await isOver(late);
  assertText(late.text(), textOf(300));
  assert.equal((await onlyCall(chats.first)).state, 'finished');
  assert.deepEqual(await chats.second.calls(), []);
  assert.equal((await chats.client.streamInfo(keyOf(runId))).status, 'ended');
  for (const { errors } of [page, other, late]) assert.deepEqual(errors, []);
});

test('connections that break, of the page and of the producer, lose nothing', async (t) => {
  const chats = await start(t);
  const page = openPage(t, chats.pages.url);
  const sent = page.client.sendMessage(question({ words: 300, delay: 3 }));
  for (const length of [200, 800, 1_400]) {
    await hasText(page, length);
    chats.pages.cutAll();
    chats.line.cutAll();
  }
  await sent;
  assertText(page.text(), textOf(300));
  assert.deepEqual(page.errors, []);
  assert.ok(chats.pages.cuts >= 3 && chats.line.cuts >= 3);
  assert.equal((await onlyCall(chats.first)).state, 'finished');
});

test('a page that is reloaded in mid-answer gets the whole answer', async (t) => {
  const chats = await start(t);
  const page = openPage(t, chats.first.url);
  void page.client.sendMessage(question({ words: 300, delay: 3 }));
  await hasText(page, 200);
  const runId = page.runId();
  // What a browser does: it closes the connection.
  page.client.dispose();
  const again = openPage(t, chats.second.url, runId);
  await isOver(again);
  assertText(again.text(), textOf(300));
  assert.equal((await onlyCall(chats.first)).state, 'finished');
});

test('a stop from another page ends the model, and keeps the text', async (t) => {
  const chats = await start(t);
  const page = openPage(t, chats.first.url);
  const sent = page.client.sendMessage(question({ words: 5_000, delay: 2 }));
  await hasText(page, 200);
  const runId = page.runId();
  const other = openPage(t, chats.second.url, runId);
  await hasText(other, 200);
  const stop = await fetch(`${chats.second.url}/api/chat?runId=${runId}`, { method: 'DELETE' });
  assert.equal(stop.status, 204);
  await sent;
  // The log ends with a chunk that says so.
  for (const { errors } of [page, other]) {
    await until(() => errors.length > 0, 'the page knows that the run was stopped');
    assert.equal(errors[0].code, 'aborted');
  }
  assert.equal((await onlyCall(chats.first)).state, 'aborted');
  const stored = await storedText(chats, runId);
  assert.ok(textOf(5_000).startsWith(stored) && stored.length < textOf(5_000).length);
  assertText(other.text(), stored);
  // TanStack AI itself gives the page that sent the message its last batch only in the log.
  assertText(page.text(), stored.slice(0, page.text().length));
  const { status, reason } = await chats.client.streamInfo(keyOf(runId));
  assert.deepEqual([status, reason], ['cancelled', { reason: 'stop', by: 'api-key' }]);
});

test('when the producer dies, readers get what it wrote, and an error', async (t) => {
  const chats = await start(t);
  const page = openPage(t, chats.first.url);
  void page.client.sendMessage(question({ words: 50, hang: true }));
  await hasText(page, 100);
  const runId = page.runId();
  const other = openPage(t, chats.second.url, runId);
  await hasText(other, 100);
  await chats.first.kill();
  // So that the test does not wait for the whole lease.
  await chats.client.renewStream(keyOf(runId), { lease: 2 });
  await isOver(other);
  assert.match(String(other.errors[0]), /The stream was abandoned: lease/);
  assertText(other.text(), await storedText(chats, runId));
  assert.equal((await chats.client.streamInfo(keyOf(runId))).status, 'abandoned');
});

test('when the model fails, all readers get the reason, and the stream has it', async (t) => {
  const chats = await start(t);
  const page = openPage(t, chats.first.url);
  const sent = page.client.sendMessage(question({ words: 100, delay: 2, fail: true }));
  await hasText(page, 50);
  const runId = page.runId();
  const other = openPage(t, chats.second.url, runId);
  await sent;
  await isOver(other);
  for (const { errors, text } of [page, other]) {
    assert.match(String(errors[0]), /The model is overloaded/);
    assertText(text(), textOf(100));
  }
  const { status, reason } = await chats.client.streamInfo(keyOf(runId));
  assert.equal(status, 'failed');
  assert.deepEqual(reason, { code: 'error', message: 'The model is overloaded' });
});
