// docs/guides/stop-an-answer.md

import assert from 'node:assert/strict';
import { blocksOf } from './blocks.mjs';
import { assertLike } from './examples.mjs';
import { describePage, elsewhere, runs } from './harness.mjs';

const PAGE = 'guides/stop-an-answer.md';

/** Starts the backend of the page. Returns the program, and what it passes on to its page. */
async function startBackend(reader) {
  reader.install();
  const backend = reader.node(blocksOf(PAGE)[0].text);
  const [, ...access] = await reader.printed(backend, /^(\S+) (\S+)\n/);
  return { backend, access };
}

describePage(
  PAGE,
  runs('js', 'backend.mjs writes until somebody stops it', async (reader) => {
    const { backend, access } = await startBackend(reader);
    const token = access[1];
    const route = '/client/signal?key=chat-42';
    const body = JSON.stringify({ name: 'stop' });
    const response = await reader.request(route, { method: 'POST', token, body });
    assert.equal(response.status, 200);
    await backend.ended();
    const [first, second, ...rest] = await reader.stored('chat-42');
    assert.deepEqual([first, second], ['start:', 'token:word 1 ']);
    const last = { reason: 'stop', by: 'user-7' };
    assert.deepEqual(JSON.parse(rest.at(-1).replace(/^cancel:/, '')), last);
  }),
  runs('js', 'page.mjs stops the model, and says who did', async (reader, text) => {
    const { backend, access } = await startBackend(reader);
    const shown = await reader.node(text, access).ended();
    await backend.ended();
    const [, words] = /^((?:word \d+ )+)cancelled \{ reason: 'stop', by: 'user-7' \}\n$/.exec(
      shown,
    );
    const stored = (await reader.stored('chat-42')).slice(1, -1);
    assert.equal(words, stored.map((event) => event.replace(/^token:/, '')).join(''));
  }),
  elsewhere('sh', 'api/tests/suite/guides.rs runs it'),
  runs('js', 'a page sends a signal', async (reader, text) => {
    const permissions = ['read', 'signal'];
    const { token } = await reader.broker.stream('chat 1', { permissions, subject: 'ann' });
    const tab = await reader.fixture.tab();
    const send = new Function('...args', `${text}; return sendSignal(...args);`);
    const answer = await tab.evaluate(
      `(${send})(...${JSON.stringify(argumentsFor(reader, token))})`,
    );
    assert.deepEqual(answer, { seq: 1 });
    const { signals } = await reader.broker.call('/stream/signals?key=chat%201');
    const [{ name, by, data }] = signals;
    assert.deepEqual({ name, by, data }, { name: 'steer', by: 'ann', data: { tone: 'short' } });
  }),
  runs('json', 'a producer gets the signals', async (reader, text) => {
    const permissions = ['read', 'signal'];
    const { token } = await reader.broker.stream('chat-1', { permissions, subject: 'user-7' });
    const body = JSON.stringify({ name: 'stop' });
    await reader.request('/client/signal?key=chat-1', { method: 'POST', token, body });
    const answer = await reader.broker.call('/stream/signals?key=chat-1&after=0&wait=30');
    assertLike(JSON.parse(text), answer);
  }),
  elsewhere('sh', 'api/tests/suite/guides.rs runs it'),
);

const argumentsFor = ({ broker }, token) => {
  const signal = { name: 'steer', data: { tone: 'short' } };
  return [broker.url, 'chat 1', token, signal];
};
