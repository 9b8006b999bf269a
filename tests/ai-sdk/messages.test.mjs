// What comes to a page is the message that the backend wrote: its parts, tools, files and data.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ai, Chat, page } from './packages.mjs';
import { ask, readAll, sending, startChat, streamOf, until } from './support.mjs';

test('large chunks, tool input, files and data come unchanged', async (t) => {
  const big = '🦀\u0001"x'.repeat(100_000);
  const chunks = [
    { type: 'start', messageId: 'own-id', messageMetadata: { model: 'm' } },
    { type: 'data-note', data: { delta: 'no delta' }, transient: true },
    { type: 'start-step' },
    { type: 'reasoning-start', id: 'r' },
    ...['Hm', ', ', 'so'].map((delta) => ({ type: 'reasoning-delta', id: 'r', delta })),
    { type: 'reasoning-end', id: 'r' },
    { type: 'tool-input-start', toolCallId: 't', toolName: 'search' },
    ...['{"q":', '"a\ud83e', '\udd80"}'].map((inputTextDelta) => ({
      type: 'tool-input-delta',
      toolCallId: 't',
      inputTextDelta,
    })),
    { type: 'tool-input-available', toolCallId: 't', toolName: 'search', input: { q: 'a🦀' } },
    { type: 'tool-output-available', toolCallId: 't', output: { big } },
    { type: 'file', mediaType: 'image/png', url: `data:image/png;base64,${'A'.repeat(300_000)}` },
    { type: 'source-url', sourceId: 's', url: 'https://example.com' },
    { type: 'finish-step' },
    { type: 'finish', messageMetadata: { tokens: 3 } },
  ];
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  const pause = (at) => at === chunks.length - 1 && opened;
  const chat = await startChat(t, { answer: () => streamOf(chunks, pause) });
  const first = readAll(await chat.transport.sendMessages(sending({})));
  const stored = async () =>
    (await chat.client.streamEvents('chat:c')).some(({ data }) => data?.includes('finish-step'));
  await until(stored, 'all but the last chunk are stored');
  const replay = readAll(await chat.transport.reconnectToStream({ chatId: 'c' }));
  open();
  const message = async (given) => {
    let last;
    for await (last of ai.readUIMessageStream({ stream: streamOf(given) }));
    return last;
  };
  const expected = await message(chunks);
  assert.deepEqual(await message((await first).chunks), expected);
  assert.deepEqual(await message((await replay).chunks), expected);
  assert.deepEqual(chat.finished[0].message, expected);
  const joined = (await replay).chunks.filter(({ type }) => type.endsWith('-delta'));
  assert.deepEqual(joined.map(({ type }) => type).slice(0, 1), ['reasoning-delta']);
  assert.equal(joined[0].delta, 'Hm, so');
});

test('an answer that continues a message comes back with what was before', async (t) => {
  const tool = { type: 'tool-ask', toolCallId: 't', state: 'output-available' };
  const before = {
    id: 'answer-1',
    role: 'assistant',
    metadata: { model: 'm' },
    parts: [
      { type: 'step-start' },
      { type: 'text', text: 'Let me ask.', state: 'done' },
      { ...tool, input: { q: 'name' }, output: 'Ann' },
      { type: 'data-note', id: 'n', data: { x: 1 } },
      { type: 'file', mediaType: 'image/png', url: 'data:,' },
    ],
  };
  let end;
  const ended = new Promise((resolve) => (end = resolve));
  const chat = await startChat(t, {
    answer: () =>
      streamOf(
        [
          { type: 'start' },
          { type: 'start-step' },
          { type: 'text-start', id: '0' },
          { type: 'text-delta', id: '0', delta: 'Hello Ann' },
          { type: 'text-end', id: '0' },
        ],
        (at) => at === 4 && ended,
      ),
  });
  const first = readAll(await chat.transport.sendMessages(sending([ask({}), before])));
  const replay = readAll(await chat.transport.reconnectToStream({ chatId: 'c' }));
  end();
  const { chunks } = await replay;
  let again;
  for await (again of ai.readUIMessageStream({ stream: streamOf(chunks) }));
  const [{ message }] = chat.finished;
  assert.equal(message.id, 'answer-1');
  assert.equal(message.parts.length, 7);
  assert.deepEqual(simple(again), simple(message));
  assert.ok(
    chunks.every(({ type }) => type !== 'tool-input-available'),
    'no tool runs again',
  );
  // The page that sent the message has it.
  assert.deepEqual((await first).chunks.map(({ type }) => type).slice(0, 2), [
    'start',
    'start-step',
  ]);
});

test('an answer that breaks off in the input of a tool is shown once after a resume', async (t) => {
  let goOn;
  const resumed = new Promise((resolve) => (goOn = resolve));
  const call = { toolCallId: 't', toolName: 'search' };
  const chunks = [
    { type: 'start' },
    { type: 'text-start', id: '0' },
    { type: 'text-delta', id: '0', delta: 'Let me see' },
    { type: 'text-end', id: '0' },
    { type: 'tool-input-start', ...call },
    { type: 'tool-input-delta', toolCallId: 't', inputTextDelta: '{"q":' },
    { type: 'tool-input-delta', toolCallId: 't', inputTextDelta: '1}' },
    { type: 'tool-input-available', ...call, input: { q: 1 } },
    { type: 'finish' },
  ];
  const backend = await startChat(t, {
    answer: () => streamOf(chunks, (at) => at === 6 && resumed),
  });
  const transport = new page.BrokerChatTransport({
    fetch: backend.call,
    subscribe: { giveUpAfterMs: 1_500 },
  });
  // As `useChat` of `@ai-sdk/react` 3 does it, without the other members of the transport.
  const chat = new Chat({
    id: 'c',
    transport: {
      sendMessages: (options) => transport.sendMessages(options),
      reconnectToStream: (options) => transport.reconnectToStream(options),
    },
  });
  const tool = () => chat.lastMessage?.parts.at(-1);
  const sent = chat.sendMessage({ text: '{}' });
  await until(() => tool()?.rawInput === '{"q":', 'a part of the input is there');
  backend.proxy.refusing = true;
  backend.proxy.cutAll();
  await sent;
  assert.deepEqual([chat.status, chat.error.code], ['error', 'disconnected']);
  assert.equal(tool().state, 'output-error');
  backend.proxy.refusing = false;
  goOn();
  await chat.resumeStream();
  const shown = chat.messages.map(({ parts }) => parts.map(({ text, state }) => text ?? state));
  assert.deepEqual(shown, [['{}'], ['Let me see', 'input-available']]);
});

/** A message without members that have no value. */
const simple = (message) => JSON.parse(JSON.stringify(message));
