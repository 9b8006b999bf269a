// The browser's same-origin policy and the broker's responses. In every test the pages have another
// origin than the broker.

import assert from 'node:assert/strict';
import { inEachBrowser, range } from './harness.mjs';

const SOMEBODY_ELSE = 'https://somebody-else.example';

inEachBrowser(
  'fetch() with a token header and Last-Event-ID passes preflight and reads the bytes',
  async (fixture) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('bytes');
    const { ids } = await broker.add(
      stream.key,
      range(0, 20).map((n) => ({ event: 'token', data: `${n}\n🦀` })),
    );
    await broker.end(stream.key);
    const headers = { Authorization: `bEARER ${stream.token}`, 'Last-Event-ID': ids[9] };
    const url = new URL(stream.sse(proxy));
    url.searchParams.delete('token');

    const tab = await fixture.tab();
    const answer = await tab.evaluate(
      ([url, options]) => readBytes(url, options),
      [url.href, { headers }],
    );
    assert.equal(answer.status, 200);
    assert.match(answer.type, /^text\/event-stream/);
    assert.deepEqual(
      proxy.requests.map(({ method, status }) => [method, status]),
      [
        ['OPTIONS', 204],
        ['GET', 200],
      ],
    );
    const text = Buffer.from(answer.bytes).toString('utf8');
    assert.deepEqual(
      [...text.matchAll(/^id: (.*)$/gm)].slice(0, -1).map(([, id]) => id),
      ids.slice(10),
    );
    assert.deepEqual(
      [...text.matchAll(/^data: (.*)\ndata: 🦀\nid: .*\n\n/gm)].map(([, n]) => Number(n)),
      range(10, 20),
    );

    // The page can read the error, too. Without CORS headers it would only see a failure.
    const refused = await tab.evaluate(
      ([url, options]) => ask(url, options),
      [url.href, { headers: { Authorization: 'Bearer x' } }],
    );
    assert.equal(refused.status, 401);
    assert.equal(JSON.parse(refused.text).code, 'unauthorized');
    const unknown = await tab.evaluate((url) => ask(url), `${proxy.url}/api/unknown`);
    assert.equal(unknown.status, 404);
  },
);

inEachBrowser('with allowed origins set, a page of another one is refused', async (fixture) => {
  const broker = await fixture.broker({ STREAMER_ALLOWED_ORIGINS: SOMEBODY_ELSE });
  const stream = await broker.stream('refused');
  await broker.end(stream.key);
  const tab = await fixture.tab();
  const bearer = { headers: { Authorization: `Bearer ${stream.token}` } };
  const write = {
    method: 'POST',
    headers: { 'X-API-KEY': broker.apiKey, 'Content-Type': 'application/json' },
    body: '{"key":"made"}',
  };
  for (const [url, options] of [
    [stream.sse()],
    [stream.sse(broker, { token: 'x' })],
    [stream.sse(), bearer],
    [`${broker.url}/api/health`],
    [`${broker.url}/api/stream/`, write],
  ]) {
    assert.deepEqual(await tab.evaluate(([url, options]) => ask(url, options), [url, options]), {
      rejected: 'TypeError',
    });
  }
  assert.deepEqual(
    await broker.call('/stream/?pattern=made'),
    [],
    'the preflight kept the request back',
  );
  await tab.evaluate((url) => followEvents(url, ['start', 'end']), stream.sse());
  await tab.waitForFunction(() => source.readyState === EventSource.CLOSED);
  assert.deepEqual(await tab.evaluate(() => seen), []);
});

inEachBrowser(
  'with allowed origins set, a page of one of them follows and writes with an API key',
  async (fixture) => {
    const broker = await fixture.broker({
      STREAMER_ALLOWED_ORIGINS: `${SOMEBODY_ELSE},${await fixture.site()}`,
    });
    const proxy = await fixture.proxy(broker);
    const tab = await fixture.tab();
    const post = (route, body, apiKey = broker.apiKey) =>
      tab.evaluate(
        ([url, options]) => ask(url, options),
        [
          `${broker.url}/api${route}`,
          {
            method: 'POST',
            headers: { 'X-API-KEY': apiKey, 'Content-Type': 'application/json' },
            body: JSON.stringify(body),
          },
        ],
      );
    const stream = await broker.stream('allowed');
    await tab.evaluate((url) => followEvents(url, ['start', 'token', 'end']), stream.sse(proxy));

    const created = await post('/stream/', { key: 'by a page' });
    assert.equal(created.status, 200);
    assert.equal(typeof JSON.parse(created.text).token, 'string');
    const added = await post('/event/add', {
      key: stream.key,
      events: [{ event: 'token', data: 'from a page' }],
    });
    assert.equal(JSON.parse(added.text).num_events, 1);
    assert.equal(
      (await post('/event/add', { key: stream.key, events: [] }, 'not-the-api-key')).status,
      401,
    );
    assert.equal((await post('/stream/end', { key: stream.key })).status, 200);

    await tab.waitForFunction(() => source.readyState === EventSource.CLOSED);
    assert.deepEqual(await tab.evaluate(() => seen.map(({ event }) => event)), [
      'start',
      'token',
      'end',
    ]);
    assert.deepEqual(
      proxy.gets.map(({ status }) => status),
      [200, 204],
    );
  },
);
