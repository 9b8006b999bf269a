// The page of the README, with each way in which a stream is finished.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { inEachBrowser } from './harness.mjs';

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const [, snippet] = readme.match(/^## In a browser$[^]*?^```js\n([^]*?)^```$/m);

const ENDINGS = [
  ['/stream/end', '', {}],
  ['/stream/cancel', ' (Stopped)', {}],
  ['/stream/fail', ' (The answer failed)', {}],
  // A lease that nobody renews.
  [null, ' (The backend died)', { lease: 2 }],
];

inEachBrowser('the page of the README shows the answer, and how it ended', async (fixture) => {
  const broker = await fixture.broker();
  await Promise.all(
    ENDINGS.map(async ([route, note, options], n) => {
      // Before the lease begins.
      const tab = await fixture.tab();
      const { sse_url, token, key } = await created(broker, `answer-${n}`, options);
      await tab.evaluate(
        ([snippet, sse_url, token]) => {
          window.answer = document.body.appendChild(document.createElement('p'));
          window.source = new Function('sse_url', 'token', 'answer', `${snippet}; return source;`)(
            sse_url,
            token,
            window.answer,
          );
        },
        [snippet, sse_url, token],
      );
      await broker.add(key, [
        { event: 'token', data: 'Hello' },
        { event: 'token', data: ' world' },
      ]);
      if (route) await broker.call(route, { key });
      await tab.waitForFunction(() => window.source.readyState === EventSource.CLOSED);
      assert.equal(await tab.evaluate(() => window.answer.textContent), `Hello world${note}`);
    }),
  );
});

inEachBrowser('the page of the README says that the beginning is gone', async (fixture) => {
  const broker = await fixture.broker();
  const { sse_url, token, key } = await created(broker, 'long', { max_events: 5 });
  const events = Array.from({ length: 2_000 }, (_, n) => ({ event: 'token', data: ` ${n}` }));
  await broker.add(key, events);
  await broker.call('/stream/end', { key });
  const tab = await fixture.tab();
  const text = await tab.evaluate(
    ([snippet, sse_url, token]) =>
      new Promise((resolve) => {
        const answer = document.createElement('p');
        const run = new Function('sse_url', 'token', 'answer', `${snippet}; return source;`);
        run(sse_url, token, answer).addEventListener('end', () => resolve(answer.textContent));
      }),
    [snippet, sse_url, token],
  );
  assert.match(text, /^\(The beginning is no longer stored\.\) ( \d+)* 1999$/);
});

async function created(broker, key, options) {
  const stream = await broker.stream(key, options);
  const url = new URL(stream.sse());
  url.searchParams.delete('token');
  return { ...stream, sse_url: url.href };
}
