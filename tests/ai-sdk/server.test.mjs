// The handlers of the server, called with requests, and a real broker.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { textOf } from '../support/answers.mjs';
import { messageText } from './chat.mjs';
import { ai, server } from './packages.mjs';
import { ask, readAll, sending, startChat, streamOf, until } from './support.mjs';

const URL_OF_CHAT = 'http://backend/api/chat';

const post = (chat, body, options = {}) =>
  chat.handlers.POST(
    new Request(URL_OF_CHAT, { method: 'POST', body: JSON.stringify(body), ...options }),
  );

const get = (chat, query) =>
  chat.handlers.GET(new Request(`${URL_OF_CHAT}?${new URLSearchParams(query)}`));

const bodyOf = (script, more = {}) => ({ id: 'c', messages: [ask(script)], ...more });

const finish = (chat, count = 1) =>
  until(() => chat.finished.length >= count, `${count} answers are finished`);

test('a request that is repeated starts the model once', async (t) => {
  const chat = await startChat(t);
  const body = bodyOf({ words: 50, delay: 2 }, { requestId: 'r1' });
  const answers = await Promise.all([post(chat, body), post(chat, body), post(chat, body)]);
  await finish(chat);
  answers.push(await post(chat, body));
  const generations = new Set();
  for (const answer of answers) {
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('cache-control'), 'no-store');
    const { sse_url, token, generation, ...others } = await answer.json();
    assert.deepEqual([typeof sse_url, typeof token, others], ['string', 'string', {}]);
    generations.add(generation);
  }
  assert.equal(generations.size, 1);
  assert.equal(chat.model.calls.length, 1);
  await post(chat, { ...body, requestId: 'r2' });
  await finish(chat, 2);
  assert.equal(chat.model.calls.length, 2);
});

test('a second message stops the answer before, and waits until it is saved', async (t) => {
  const order = [];
  const chat = await startChat(t, {
    onFinish: async ({ status }) => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      order.push(status);
      chat.finished.push(status);
    },
  });
  const first = readAll(await chat.transport.sendMessages(sending({ words: 9, hang: true })));
  await until(() => chat.model.calls.length === 1, 'the model runs');
  const second = await chat.transport.sendMessages(sending({ words: 20 }));
  order.push('started');
  assert.equal((await readAll(second)).text, textOf(20));
  assert.equal((await first).chunks.at(-1).type, 'abort');
  assert.deepEqual(order, ['stopped', 'started', 'ended']);
  assert.deepEqual(
    chat.model.calls.map(({ state }) => state),
    ['aborted', 'finished'],
  );
});

test('with reject, a second message is refused, and the answer goes on', async (t) => {
  const chat = await startChat(t, { whileRunning: 'reject' });
  const first = await chat.transport.sendMessages(sending({ words: 100, delay: 3 }));
  await assert.rejects(chat.transport.sendMessages(sending({})), /is still written/);
  assert.equal((await post(chat, bodyOf({}))).status, 409);
  assert.equal((await readAll(first)).text, textOf(100));
});

test('an answer that does not stop is cancelled by the broker', async (t) => {
  const chat = await startChat(t, {
    stream: { stop_grace: 1 },
    onFinish: async ({ status }) => {
      chat.finished.push(status);
      if (status === 'stopped') await new Promise((resolve) => setTimeout(resolve, 3_000));
    },
  });
  const first = readAll(await chat.transport.sendMessages(sending({ hang: true })));
  await until(() => chat.model.calls.length === 1, 'the model runs');
  const { text } = await readAll(await chat.transport.sendMessages(sending({ words: 5 })));
  assert.equal(text, textOf(5));
  assert.equal((await first).chunks.at(-1).reason, 'stop-timeout');
});

test('authorize names the subject, or refuses', async (t) => {
  const chat = await startChat(t, {
    authorize: ({ request, chatId }) =>
      request.headers.get('x-user') === 'ann' && chatId === 'c'
        ? 'ann'
        : new Response('not yours', { status: 403 }),
  });
  const body = bodyOf({ hang: true });
  assert.equal((await post(chat, body)).status, 403);
  assert.equal((await get(chat, { id: 'c' })).status, 403);
  assert.equal(
    (await post(chat, { ...body, id: 'd' }, { headers: { 'x-user': 'ann' } })).status,
    403,
  );
  assert.equal(chat.model.calls.length, 0);
  const access = await (await post(chat, body, { headers: { 'x-user': 'ann' } })).json();
  assert.equal(chat.answers[0].subject, 'ann');
  await fetch(access.sse_url.replace('/sse?', '/signal?'), {
    method: 'POST',
    headers: { authorization: `Bearer ${access.token}` },
    body: JSON.stringify({ name: 'stop' }),
  });
  await finish(chat);
  await until(async () => (await chat.client.streamInfo('chat:c')).status !== 'active', 'the end');
  assert.equal((await chat.client.streamInfo('chat:c')).reason.by, 'ann');
});

test('requests that make no sense are refused', async (t) => {
  const chat = await startChat(t, { maxBodyBytes: 1_000 });
  const cases = [
    [{ body: 'no JSON' }, 400],
    [{ body: '[]' }, 400],
    [{ body: '{"id":"c"}' }, 400],
    [{ body: '{"id":"c","messages":[null]}' }, 400],
    [{ body: '{"messages":[]}' }, 400],
    [{ body: JSON.stringify({ id: 'x'.repeat(300), messages: [] }) }, 400],
    [{ body: JSON.stringify({ id: 'a\nb', messages: [] }) }, 400],
    [{ body: 'x'.repeat(1_001) }, 413],
    [{}, 400],
  ];
  for (const [init, status] of cases) {
    const request = new Request(URL_OF_CHAT, { method: 'POST', ...init });
    assert.equal((await chat.handlers.POST(request)).status, status, init.body);
  }
  assert.equal((await chat.handlers.GET(new Request(URL_OF_CHAT))).status, 400);
  assert.equal((await get(chat, { id: 'unknown' })).status, 204);
  assert.equal((await get(chat, { id: 'unknown', generation: 'f'.repeat(32) })).status, 204);
  assert.deepEqual(chat.errors, []);
});

test('a token for a generation opens that answer alone, also when it is finished', async (t) => {
  const chat = await startChat(t);
  const { generation } = await (await post(chat, bodyOf({ words: 3 }))).json();
  await finish(chat);
  await until(async () => (await get(chat, { id: 'c' })).status === 204, 'the answer is finished');
  const again = await get(chat, { id: 'c', generation });
  assert.equal((await again.json()).generation, generation);
  await post(chat, bodyOf({ words: 3 }));
  await finish(chat, 2);
  assert.equal((await get(chat, { id: 'c', generation })).status, 204);
});

test('errors before and in the answer are reported, and hidden from the page', async (t) => {
  const secret = new Error('a secret');
  const fails = () => Promise.reject(secret);
  const chunk = { type: 'error', errorText: 'for the page' };
  const long = { type: 'error', errorText: `x${'é'.repeat(1_000)}` };
  const cases = [
    [{ authorize: fails }, 'An error occurred.', [secret]],
    [{ answer: fails }, 'An error occurred.', [secret]],
    [{ answer: fails, onError: () => 'Sorry' }, 'Sorry', []],
    [{ answer: () => streamOf([{ type: 'start' }, chunk]) }, 'for the page', []],
    [{ answer: () => streamOf([long]) }, `x${'é'.repeat(511)}`, []],
    [{ onFinish: fails }, 'An error occurred.', [secret]],
    [
      { answer: () => streamOf([{ type: 'text-delta', id: 'x', delta: '?' }]) },
      'An error occurred.',
    ],
  ];
  for (const [options, message, errors] of cases) {
    const chat = await startChat(t, options);
    const shown = await chat.transport
      .sendMessages(sending({ words: 2 }))
      .then(readAll)
      .then(
        ({ error }) => error,
        (error) => error,
      );
    assert.equal(shown.message, message);
    if (errors) assert.deepEqual(chat.errors, errors);
    else assert.match(String(chat.errors[0]), /text-delta/);
  }
});

test('a save that fails after a stop is reported, too', async (t) => {
  const secret = new Error('a secret');
  const chat = await startChat(t, { onFinish: () => Promise.reject(secret) });
  const answer = readAll(await chat.transport.sendMessages(sending({ hang: true })));
  await chat.transport.requestStop('c');
  assert.equal((await answer).chunks.at(-1).type, 'abort');
  assert.deepEqual(chat.errors, [secret]);
});

test('waitUntil gets work that ends when the answer is finished, and never rejects', async (t) => {
  const work = [];
  const chat = await startChat(t, { waitUntil: (promise) => work.push(promise) });
  await post(chat, bodyOf({ words: 5 }));
  await post(chat, { ...bodyOf({ words: 5, fail: true }), id: 'd' });
  assert.equal(work.length, 2);
  await Promise.all(work);
  const statuses = ['chat:c', 'chat:d'].map(
    async (key) => (await chat.client.streamInfo(key)).status,
  );
  assert.deepEqual(await Promise.all(statuses), ['ended', 'failed']);
});

test('the context has what the page sent', async (t) => {
  const chat = await startChat(t);
  const messages = [ask({ words: 1 })];
  const extra = { body: { plan: 'pro' }, trigger: 'regenerate-message' };
  await readAll(await chat.transport.sendMessages(sending(messages, extra)));
  const [{ chatId, messages: got, trigger, body, subject, messageId, signal }] = chat.answers;
  assert.deepEqual([chatId, got, trigger], ['c', messages, 'regenerate-message']);
  assert.deepEqual(body, { plan: 'pro' });
  assert.ok(signal instanceof AbortSignal && !signal.aborted);
  assert.deepEqual([subject, chat.finished[0].message.id], ['somebody', messageId]);
});

test('streams of createUIMessageStream get one id for all of their starts', async (t) => {
  const chat = await startChat(t, {
    answer: () =>
      ai.createUIMessageStream({
        execute: ({ writer }) => {
          writer.write({ type: 'data-status', data: 'thinking', transient: true });
          for (const n of [1, 2]) {
            writer.write({ type: 'start' });
            writer.write({ type: 'text-start', id: `${n}` });
            writer.write({ type: 'text-delta', id: `${n}`, delta: `part ${n}` });
            writer.write({ type: 'text-end', id: `${n}` });
          }
        },
      }),
  });
  const { chunks } = await readAll(await chat.transport.sendMessages(sending({})));
  const ids = chunks.filter(({ type }) => type === 'start').map(({ messageId }) => messageId);
  assert.equal(chunks[0].type, 'start');
  assert.equal(new Set(ids).size, 1);
  assert.equal(chat.finished[0].message.id, ids[0]);
  assert.equal(messageText(chat.finished[0].message), 'part 1part 2');
});

test('a stop cancels a stream that does not listen to the signal', async (t) => {
  const source = streamOf([{ type: 'start' }], (at) => at > 0 && new Promise(() => {}));
  const chat = await startChat(t, { answer: () => source });
  await post(chat, bodyOf({}));
  await until(() => chat.client.sendSignal('chat:c', 'stop').catch(() => false), 'the stop');
  await finish(chat);
  assert.deepEqual([chat.finished[0].status, chat.finished[0].message], ['stopped', undefined]);
  assert.deepEqual(
    chat.finished[0].messages.map(({ role }) => role),
    ['user'],
  );
  assert.ok(source.isCancelled);
});

test('pipeUIMessageStream works with a writer of your own', async (t) => {
  const { client } = await startChat(t);
  await client.createStream('own');
  const chunks = [
    { type: 'text-start', id: '0' },
    { type: 'text-delta', id: '0', delta: 'Hi' },
    { type: 'text-end', id: '0' },
  ];
  const piped = await client.publish('own', (writer) =>
    server.pipeUIMessageStream(writer, streamOf(chunks), { messageId: 'm' }),
  );
  assert.deepEqual(
    [piped.status, piped.message.id, messageText(piped.message)],
    ['ended', 'm', 'Hi'],
  );
  const [first] = (await client.streamEvents('own')).filter(({ event }) => event === 'chunk');
  assert.deepEqual(JSON.parse(first.data), { type: 'start', messageId: 'm' });
});
