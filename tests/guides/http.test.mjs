// docs/reference/http.md

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { assertLike, assertLikeText, linesOf } from './examples.mjs';
import { describePage, elsewhere, runs } from './harness.mjs';

const { WebSocket } = createRequire(new URL('../foreign/', import.meta.url))('ws');

const HELLO = { event: 'token', data: 'Hello' };
const post = (value) => ({ method: 'POST', body: JSON.stringify(value) });

/** A block that shows a response. `ask` makes it, with a stream at the key of the page. */
const shows = (name, ask, { options, varying } = {}) =>
  runs('json', name, async (reader, text) => {
    await reader.broker.stream('chat-1', options);
    assertLike(JSON.parse(text), await ask(reader), varying);
  });

/** Sends messages as a producer. Returns the answers. */
async function produce({ broker }, messages) {
  const url = `${broker.url.replace('http', 'ws')}/api/event/add/ws-stream?key=chat-1`;
  const socket = new WebSocket(url, { headers: { 'X-API-KEY': broker.apiKey } });
  const answers = [];
  socket.on('message', (message) => {
    answers.push(JSON.parse(message));
    if (answers.length === messages.length) socket.close();
  });
  await once(socket, 'open');
  for (const message of messages) socket.send(JSON.stringify(message));
  await once(socket, 'close');
  return answers;
}

describePage(
  'reference/http.md',
  elsewhere('sh', 'api/tests/suite/guides.rs runs it'),
  runs('json', 'an error', async (reader, text) => {
    const response = await reader.request('/stream/end', post({ key: 'chat-1' }));
    assertLike(JSON.parse(text), await response.json());
  }),
  runs('json', 'a new stream', async (reader, text) => {
    assertLike(JSON.parse(text), await reader.broker.call('/stream', { key: 'chat-1' }));
  }),
  shows('a batch', ({ broker }) => broker.add('chat-1', [HELLO])),
  shows('an upload with a line that is no event', async (reader) => {
    const body = `${JSON.stringify(HELLO)}\n\nno event\n`;
    const upload = reader.request('/event/add/json-stream?key=chat-1', { method: 'POST', body });
    return (await upload).json();
  }),
  runs('json', "a producer's WebSocket", async (reader, text) => {
    await reader.broker.stream('chat-1');
    assertLike(linesOf(text), await produce(reader, [HELLO, { event: 'end' }]));
  }),
  elsewhere('sh', 'api/tests/suite/guides.rs runs it'),
  shows('a renewal', ({ broker }) => broker.call('/stream/renew', { key: 'chat-1', lease: 30 })),
  shows('signals', async (reader) => {
    const permissions = ['read', 'signal'];
    const token = await reader.tokenFor(['chat-1'], { permissions, subject: 'user-7' });
    const signal = { ...post({ name: 'stop' }), token };
    await reader.request('/client/signal?key=chat-1', signal);
    return reader.broker.call('/stream/signals?key=chat-1');
  }),
  shows(
    'the list of streams',
    async ({ broker }) => {
      await broker.add('chat-1', [HELLO, HELLO, HELLO]);
      return broker.call('/stream?pattern=chat-*');
    },
    { varying: ['ttl'] },
  ),
  shows('stored events', async ({ broker }) => {
    await broker.add('chat-1', [HELLO]);
    // The page leaves `start` out.
    return (await broker.events('chat-1')).slice(1);
  }),
  runs('text', 'a frame of server-sent events', async (reader, text) => {
    const { token } = await reader.broker.stream('chat-1');
    await reader.broker.add('chat-1', [HELLO]);
    const [{ id }] = await reader.broker.events('chat-1');
    const response = await reader.request(`/client/sse?key=chat-1&after=${id}`, { token });
    const body = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let frames = '';
    while (!frames.includes('\n\n')) frames += (await body.read()).value;
    await body.cancel();
    assertLikeText(text, frames);
  }),
  elsewhere('sh', 'api/tests/suite/guides.rs runs it'),
  shows('a poll', async (reader) => {
    await reader.broker.add('chat-1', [{ event: 'token', data: 'Hel' }]);
    const token = await reader.tokenFor(['chat-1']);
    const [{ id }] = await reader.broker.events('chat-1');
    return (await reader.request(`/client/poll?key=chat-1&after=${id}`, { token })).json();
  }),
);
