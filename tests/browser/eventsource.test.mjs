// A page that follows a stream with EventSource and without a library.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { LONG_ENOUGH_TO_RECONNECT, numberOf, inEachBrowser, range, until } from './harness.mjs';

const closed = (tab) => tab.waitForFunction(() => source.readyState === EventSource.CLOSED);

inEachBrowser(
  'a page gets every event, from the first to the last, as the SSE standard defines it',
  async (fixture) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('chat 1/ä&=?#+%');
    // Data, and how a browser returns it. The format has lines, but not their line ends.
    const events = [
      ['token', 'Hello'],
      ['token', ' one space'],
      ['token', '  two spaces'],
      ['token', 'one\ntwo\n\nfour\n'],
      ['token', '\nleading newline'],
      ['token', 'CR\rCRLF\r\nend', 'CR\nCRLF\nend'],
      ['token', '👩‍👩‍👧 é 中文 \u{1F980}'],
      ['token', '\uFEFFmark, \u2028separator'],
      // Firefox leaves NUL out.
      ['token', 'a \0 zero', fixture.browser === 'firefox' ? 'a  zero' : 'a \0 zero'],
      ['token', 'data: event: id: 7\nid: 1-1\nretry: 1\n: comment'],
      ['token', ''],
      ['token', undefined, ''],
      ['token', { nested: ['json', 1, null] }, '{"nested":["json",1,null]}'],
      ['message', 'the default name'],
      [' name: with é and 🦀', 'x'],
    ];
    const names = [
      'start',
      'end',
      'cancel',
      'missedevents',
      ...new Set(events.map(([name]) => name)),
    ];

    // Half of the events are history when the page connects, half are live.
    const written = events.map(([event, data]) => ({ event, data }));
    await broker.add(stream.key, written.slice(0, 7));
    const tab = await fixture.tab();
    await tab.evaluate(([url, names]) => followEvents(url, names), [stream.sse(proxy), names]);
    await tab.waitForFunction(() => seen.length === 8);
    for (const event of written.slice(7)) await broker.add(stream.key, [event]);
    await broker.end(stream.key);
    await closed(tab);

    const seen = await tab.evaluate(() => seen);
    const expected = [
      ['start', ''],
      ...events.map(([name, data, arrives = data]) => [name, arrives]),
      ['end', ''],
    ];
    assert.deepEqual(
      seen.map(({ event, data }) => [event, data]),
      expected,
    );
    assert.deepEqual(
      seen.map(({ id }) => numberOf(id)),
      range(0, expected.length),
    );
    assert.deepEqual([...new Set(seen.map(({ origin }) => origin))], [proxy.url]);
    // The stream, and, when the browser connects again, the response that nothing follows.
    assert.deepEqual(
      proxy.gets.map(({ status, headers }) => [status, headers['last-event-id']]),
      [
        [200, undefined],
        [204, seen.at(-1).id],
      ],
    );
  },
);

inEachBrowser(
  'a page that connects after old events were trimmed first gets a missedevents',
  async (fixture) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('trimmed', { max_events: 10 });
    await broker.add(
      stream.key,
      range(0, 500).map((n) => ({ event: 'token', data: `${n}` })),
    );
    const tab = await fixture.tab();
    await tab.evaluate(
      (url) => followEvents(url, ['missedevents', 'start', 'token', 'end']),
      stream.sse(),
    );
    await tab.waitForFunction(() => seen.at(-1)?.data === '499');
    await broker.end(stream.key);
    await closed(tab);

    const [missed, ...rest] = await tab.evaluate(() => seen);
    const first = numberOf(rest[0].id);
    assert.ok(first > 0 && first <= 491, `the first event kept is ${first}`);
    assert.equal(missed.event, 'missedevents');
    assert.equal(missed.id, '');
    assert.deepEqual(JSON.parse(missed.data), { after: null, first: rest[0].id, missed: first });
    assert.deepEqual(
      rest.map(({ id }) => numberOf(id)),
      range(first, 502),
    );
    assert.ok(
      rest
        .slice(0, -1)
        .every(({ event, id, data }) => event === 'token' && data === `${numberOf(id) - 1}`),
    );
    assert.equal(rest.at(-1).event, 'end');
  },
);

inEachBrowser(
  'a page that was cut off while events were trimmed gets a missedevents, and keeps its last id',
  async (fixture) => {
    const broker = await fixture.broker();
    const proxy = await fixture.proxy(broker);
    const stream = await broker.stream('trimmed', { max_events: 10 });
    await broker.add(
      stream.key,
      range(0, 5).map(() => ({ event: 'token', data: 'seen' })),
    );
    const tab = await fixture.tab();
    await tab.evaluate(
      (url) => followEvents(url, ['missedevents', 'start', 'token', 'end']),
      stream.sse(proxy),
    );
    await tab.waitForFunction(() => seen.length === 6);
    proxy.refusing = true;
    proxy.cutAll();
    await broker.add(
      stream.key,
      range(0, 500).map(() => ({ event: 'token', data: 'new' })),
    );
    await broker.end(stream.key);
    proxy.refusing = false;
    await closed(tab);

    const seen = await tab.evaluate(() => seen);
    const missed = seen[6];
    const rest = seen.slice(7);
    const first = numberOf(rest[0].id);
    assert.deepEqual(
      seen.slice(0, 6).map(({ id }) => numberOf(id)),
      range(0, 6),
    );
    assert.equal(missed.event, 'missedevents');
    assert.equal(missed.id, seen[5].id);
    assert.deepEqual(JSON.parse(missed.data), {
      after: seen[5].id,
      first: rest[0].id,
      missed: first - 6,
    });
    assert.deepEqual(
      rest.map(({ id }) => numberOf(id)),
      range(first, 507),
    );
    assert.equal(rest.filter(({ event }) => event === 'missedevents').length, 0);
  },
);

inEachBrowser('a page with an invalid token is refused for good', async (fixture) => {
  const broker = await fixture.broker();
  const stream = await broker.stream('mine');
  const other = await broker.stream('other');
  const refusals = [
    [401, { token: 'no-token' }],
    [401, { token: stream.token.slice(0, -4) + 'AAAA' }],
    [401, { token: '' }],
    [403, { token: other.token }],
  ];
  for (const [status, query] of refusals) {
    const proxy = await fixture.proxy(broker);
    const tab = await fixture.tab();
    await tab.evaluate(
      ([url, names]) => followEvents(url, names),
      [stream.sse(proxy, query), ['start']],
    );
    await closed(tab);
    assert.deepEqual(await tab.evaluate(() => [seen, states]), [[], ['closed']]);
    assert.deepEqual(
      proxy.gets.map((get) => get.status),
      [status],
    );
  }
});

inEachBrowser('after the end a page requests once more and never again', async (fixture) => {
  const broker = await fixture.broker();
  const proxy = await fixture.proxy(broker);
  const stream = await broker.stream('over');
  await broker.call('/stream/cancel', { key: stream.key });
  const tab = await fixture.tab();
  await tab.evaluate((url) => followEvents(url, ['start', 'cancel']), stream.sse(proxy));
  await closed(tab);
  await sleep(LONG_ENOUGH_TO_RECONNECT);
  assert.deepEqual(
    proxy.gets.map((get) => get.status),
    [200, 204],
  );
  assert.deepEqual(await tab.evaluate(() => [seen.map(({ event }) => event), states]), [
    ['start', 'cancel'],
    ['open', 'connecting', 'closed'],
  ]);
  await until(async () => (await broker.connectionsInUse()) === 0, 'its connection is closed');
});
