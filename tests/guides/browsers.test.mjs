// docs/guides/browsers.md

import assert from 'node:assert/strict';
import { serve } from '../recipes/programs.mjs';
import { until } from '../support/processes.mjs';
import { blocksOf } from './blocks.mjs';
import { describePage, framesOf, runs } from './harness.mjs';

const PAGE = 'guides/browsers.md';
const QUESTION = 'Does it work?';
const WORDS = ['You', ' asked:', ' Does', ' it', ' work?'];

/** Starts the backend of the page, with the page of the page. */
function startServer(reader) {
  reader.install('express');
  const [server, page] = blocksOf(PAGE).map(({ text }) => text);
  assert.match(server, /3000/);
  reader.save(page);
  const argsFor = (port) => [reader.save(server.replaceAll('3000', port))];
  const options = { cwd: reader.folder, env: reader.environment };
  return serve(reader.fixture, process.execPath, argsFor, () => options);
}

const expected = ['start:', ...WORDS.map((word) => `token:${word}`), 'end:'];

describePage(
  PAGE,
  runs('js', 'server.mjs answers, and gives a page a new token', async (reader) => {
    const { url } = await startServer(reader);
    const headers = { 'Content-Type': 'application/json' };
    const body = JSON.stringify({ question: QUESTION });
    const asked = await fetch(`${url}/answers`, { method: 'POST', headers, body });
    const first = await asked.json();
    const second = await (await fetch(`${url}/answers/${first.key}`)).json();
    assert.notEqual(first.token, second.token);
    for (const { sse_url, token } of [first, second]) {
      const response = await fetch(`${sse_url}&token=${token}`);
      assert.deepEqual(framesOf(await response.text()), expected);
      const signal = sse_url.replace('/sse?', '/signal?');
      const stop = { method: 'POST', body: '{"name":"stop"}' };
      const { status } = await fetch(`${signal}&token=${token}`, stop);
      assert.equal(status, 404, 'the token permits signals, and the stream is over');
    }
  }),
  runs('html', 'the page shows the answer, also after a reload', async (reader) => {
    const { url } = await startServer(reader);
    const tab = await reader.open(url);
    const shows = (text) => tab.waitForFunction((text) => answer.textContent === text, text);
    await tab.waitForFunction(() => answer.textContent.startsWith('You asked:'));
    const key = new URL(tab.url()).hash.slice(1);
    await tab.reload();
    await shows(WORDS.join(''));
    assert.equal(new URL(tab.url()).hash.slice(1), key);
    await until(async () => (await reader.stored(key)).includes('end:'), 'the end');
    assert.deepEqual(await reader.stored(key), expected);
    await tab.reload();
    await shows(WORDS.join(''));
  }),
);
