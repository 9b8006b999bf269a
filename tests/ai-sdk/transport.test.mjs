// The page's transport, with the handlers of the server and a real broker.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { textOf } from '../support/answers.mjs';
import { messageText } from './chat.mjs';
import { page } from './packages.mjs';
import { readAll, sending, startChat, streamOf, until } from './support.mjs';

/** Aborts when there is some text. */
const abortAtText = (controller) => (chunk) => {
  if (chunk.type === 'text-delta') controller.abort();
};

test('an answer comes whole, in the chunks of the model, and is saved', async (t) => {
  const chat = await startChat(t);
  const { chunks, text, error } = await readAll(
    await chat.transport.sendMessages(sending({ words: 60 })),
  );
  assert.equal(error, undefined);
  assert.equal(text, textOf(60));
  const stored = await chat.client.streamEvents('chat:c');
  assert.ok(
    stored.some(({ data = '' }) => /\\ud83e"}$/.test(data)),
    'a character is split',
  );
  assert.equal(chunks.at(-1).type, 'finish');
  const [answer] = chat.finished;
  assert.equal(answer.status, 'ended');
  assert.equal(messageText(answer.message), textOf(60));
  assert.equal(answer.message.id, chunks[0].messageId);
  assert.deepEqual(
    answer.messages.map(({ role }) => role),
    ['user', 'assistant'],
  );
  assert.equal((await chat.client.streamInfo('chat:c')).status, 'ended');
  assert.equal(await chat.transport.reconnectToStream({ chatId: 'c' }), null);
});

test('a page that comes back gets the whole answer, with joined deltas', async (t) => {
  const chat = await startChat(t);
  const first = await chat.transport.sendMessages(sending({ words: 300, delay: 2 }));
  let replay;
  const { text } = await readAll(first, (_, count) => {
    if (count === 120) replay = chat.transport.reconnectToStream({ chatId: 'c' }).then(readAll);
  });
  assert.equal(text, textOf(300));
  const again = await replay;
  assert.equal(again.error, undefined);
  assert.equal(again.text, textOf(300));
  const longest = Math.max(...again.chunks.map(({ delta = '' }) => delta.length));
  assert.ok(longest > 500, `the longest delta has ${longest} characters`);
});

test('a connection that breaks goes on where it was', async (t) => {
  const chat = await startChat(t);
  const stream = await chat.transport.sendMessages(sending({ words: 600, delay: 3 }));
  const { text, error } = await readAll(stream, (_, count) => {
    if (count === 30 || count === 50) chat.proxy.cutAll();
  });
  assert.equal(error, undefined);
  assert.equal(text, textOf(600));
  assert.ok(chat.proxy.cuts > 1);
  assert.equal(chat.model.calls.length, 1);
});

test('a token that expires is replaced by one for the same answer', async (t) => {
  const chat = await startChat(t, { stream: { ttl: 1 } });
  const stream = await chat.transport.sendMessages(sending({ words: 400, delay: 8 }));
  const { text, error } = await readAll(stream, (_, count) => {
    if (count === 350) chat.proxy.cutAll();
  });
  assert.equal(error, undefined);
  assert.equal(text, textOf(400));
  const renewals = chat.requests.filter(({ method }) => method === 'GET');
  assert.ok(renewals.length > 0);
  for (const { url } of renewals) assert.match(url, /\?id=c&generation=[0-9a-f]{32}$/);
});

test('an abort stops the model, and the text so far is saved', async (t) => {
  const chat = await startChat(t);
  const stopping = new AbortController();
  const { text, error } = await readAll(
    await chat.transport.sendMessages(
      sending({ words: 5_000, delay: 2 }, { abortSignal: stopping.signal }),
    ),
    abortAtText(stopping),
  );
  assert.equal(error.name, 'AbortError');
  await until(() => chat.finished.length === 1, 'the answer is finished');
  const [{ status, message }] = chat.finished;
  assert.equal(status, 'stopped');
  assert.equal(chat.model.calls[0].state, 'aborted');
  const saved = messageText(message);
  assert.ok(text !== '' && saved.startsWith(text) && textOf(5_000).startsWith(saved));
  await until(async () => (await chat.client.streamInfo('chat:c')).status !== 'active', 'the end');
  const { status: ended, reason } = await chat.client.streamInfo('chat:c');
  assert.deepEqual([ended, reason], ['cancelled', { reason: 'stop', by: 'somebody' }]);
  // What is saved is what other pages got.
  const events = await chat.client.streamEvents('chat:c');
  const chunks = events
    .filter(({ event }) => event === 'chunk')
    .map(({ data }) => JSON.parse(data));
  assert.equal(chunks.map(({ delta = '' }) => delta).join(''), saved);
});

test('another page gets the end of a stopped answer, and no error', async (t) => {
  const chat = await startChat(t);
  const first = readAll(await chat.transport.sendMessages(sending({ words: 5_000, delay: 2 })));
  const other = new page.BrokerChatTransport({ fetch: chat.call });
  const stopping = new AbortController();
  const second = await readAll(
    await other.reconnectToStream({ chatId: 'c', abortSignal: stopping.signal }),
    abortAtText(stopping),
  );
  assert.equal(second.error.name, 'AbortError');
  const { error, chunks, text } = await first;
  assert.equal(error, undefined);
  assert.deepEqual(chunks.at(-1), { type: 'abort', reason: 'stop' });
  assert.equal(text, messageText(chat.finished[0].message));
});

test('an abort before the backend has answered stops the model, too', async (t) => {
  let allow;
  const allowed = new Promise((resolve) => (allow = resolve));
  const chat = await startChat(t, { authorize: () => allowed });
  const stopping = new AbortController();
  const sent = chat.transport.sendMessages(
    sending({ hang: true }, { abortSignal: stopping.signal }),
  );
  const refused = assert.rejects(sent, { name: 'AbortError' });
  await until(() => chat.requests.length === 1, 'the request is sent');
  stopping.abort();
  await refused;
  allow('somebody');
  await until(() => chat.finished.length === 1, 'the answer is finished');
  assert.equal(chat.finished[0].status, 'stopped');
});

test('a resume that replaces another one is no stop', async (t) => {
  const chat = await startChat(t);
  const first = readAll(await chat.transport.sendMessages(sending({ words: 200, delay: 2 })));
  const [one, two, three] = [1, 2, 3].map(() => new AbortController());
  const resume = ({ signal }) =>
    chat.transport.reconnectToStream({ chatId: 'c', abortSignal: signal });
  const read = readAll(await resume(one));
  // As the AI SDK does it: the abort and the call are in one task.
  one.abort();
  const resumed = resume(two);
  const cut = assert.rejects(resumed, { name: 'AbortError' });
  two.abort();
  const last = await readAll(await resume(three));
  assert.equal((await read).error.name, 'AbortError');
  await cut;
  assert.equal(last.text, textOf(200));
  assert.equal((await first).text, textOf(200));
  assert.equal(chat.finished[0].status, 'ended');
});

test('without stopOnAbort an abort leaves the answer, and requestStop stops it', async (t) => {
  const chat = await startChat(t);
  const transport = new page.BrokerChatTransport({ fetch: chat.call, stopOnAbort: false });
  const leaving = new AbortController();
  await readAll(
    await transport.sendMessages(
      sending({ hang: true, words: 9 }, { abortSignal: leaving.signal }),
    ),
    abortAtText(leaving),
  );
  const back = readAll(await transport.reconnectToStream({ chatId: 'c' }));
  assert.equal((await chat.client.streamInfo('chat:c')).stop_requested_at ?? null, null);
  await transport.requestStop('c');
  const { chunks, text } = await back;
  assert.equal(text, textOf(9));
  assert.equal(chunks.at(-1).type, 'abort');
  // There is nothing to stop any more, and in another page nothing is followed.
  await transport.requestStop('c');
  await new page.BrokerChatTransport({ fetch: chat.call }).requestStop('c');
});

test('a stop that does not reach the broker is logged', async (t) => {
  const chat = await startChat(t);
  const entries = [];
  const transport = new page.BrokerChatTransport({
    fetch: chat.call,
    onLog: (entry) => entries.push(entry),
    subscribe: {
      fetch: (url, init) =>
        init.method === 'POST' ? new Response('', { status: 403 }) : fetch(url, init),
    },
  });
  const stopping = new AbortController();
  await readAll(
    await transport.sendMessages(
      sending({ hang: true, words: 9 }, { abortSignal: stopping.signal }),
    ),
    abortAtText(stopping),
  );
  const warning = await until(() => entries.find(({ level }) => level === 'warn'), 'the warning');
  assert.match(warning.message, /could not be asked to stop/);
  await transport.requestStop('c').then(assert.fail, (error) => assert.equal(error.status, 403));
  await chat.client.sendSignal('chat:c', 'stop');
});

test('a model that fails fails the answer, and says nothing of its error', async (t) => {
  const chat = await startChat(t);
  const sent = await chat.transport.sendMessages(sending({ words: 30, fail: true }));
  const { text, error } = await readAll(sent);
  assert.equal(error.name, 'SubscribeError');
  assert.deepEqual([error.code, error.message], ['stream-failed', 'An error occurred.']);
  const [{ status, message }] = chat.finished;
  assert.equal(status, 'failed');
  assert.ok(text !== '' && text === messageText(message));
  const everything = JSON.stringify(await chat.client.streamEvents('chat:c'));
  assert.doesNotMatch(everything, /secret/);
  assert.match(String(chat.errors[0]), /a secret of the model/);
});

test('a producer that goes silent is an error, and the text so far stays', async (t) => {
  const start = [{ type: 'start' }, { type: 'text-start', id: '0' }];
  const said = { type: 'text-delta', id: '0', delta: 'half an ans' };
  const hangs = (at) => at > 2 && new Promise(() => {});
  const chat = await startChat(t, {
    stream: { stall: 2 },
    answer: () => streamOf([...start, said], hangs),
  });
  const { text, error } = await readAll(await chat.transport.sendMessages(sending({})));
  assert.deepEqual([error.name, error.code], ['SubscribeError', 'stream-abandoned']);
  assert.match(error.message, /went silent/);
  assert.equal(text, 'half an ans');
  await until(() => chat.finished.length === 1, 'the producer learns it');
  const [{ status, message, error: why }] = chat.finished;
  assert.deepEqual([status, messageText(message)], ['failed', 'half an ans']);
  assert.equal(why.code, 'answer-over');
});

test('missing events and a deleted answer are errors', async (t) => {
  const chat = await startChat(t, { stream: { max_events: 20 } });
  const first = readAll(await chat.transport.sendMessages(sending({ words: 300, delay: 2 })));
  const stored = async () => (await chat.client.streamEvents('chat:c')).length >= 20;
  await until(stored, 'events are gone');
  const { error } = await readAll(await chat.transport.reconnectToStream({ chatId: 'c' }));
  assert.deepEqual([error.name, error.code], ['SubscribeError', 'missed']);
  const stream = await chat.transport.reconnectToStream({ chatId: 'c' });
  await chat.client.createStream('chat:c', { if_exists: 'replace' });
  assert.equal((await readAll(stream)).error.name, 'ApiError');
  assert.equal((await first).error.name, 'ApiError');
});

test('a backend that answers something else is an error', async (t) => {
  const answers = [
    () => new Response('{"text": "hello"}'),
    () => new Response('data: {}'),
    () => new Response('not signed in', { status: 401 }),
    () => new Promise(() => {}),
  ];
  const errors = [/did not answer with/, /did not answer with/, /not signed in/, /within 50 ms/];
  for (const [n, answer] of answers.entries()) {
    const fetch = (_, { signal }) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
        resolve(answer());
      });
    const hanging = n === 3 ? { timeoutMs: 50, fetch: (url, init) => race(url, init) } : { fetch };
    const race = (_, { signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    const transport = new page.BrokerChatTransport(hanging);
    await assert.rejects(transport.sendMessages(sending({})), { message: errors[n] });
    await assert.rejects(transport.reconnectToStream({ chatId: 'c' }), { message: errors[n] });
  }
});
