// A page that follows a stream with WebSocket.

import assert from 'node:assert/strict';
import { numberOf, inEachBrowser, range, until } from './harness.mjs';

const CLOSED_AT_THE_END = [{ code: 1000, reason: 'The stream has ended', wasClean: true }];

inEachBrowser(
  'a page gets an array of the earlier events, then an object per event, then a clean close',
  async (fixture) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('chat 1/ä&=?#+%');
    // Unlike over SSE, every character arrives.
    const events = [
      ['token', ' one\ntwo\r\nthree\rfour\n'],
      ['token', '👩‍👩‍👧 é 中文 \u{1F980} \uFEFF \u2028 \0'],
      ['token', ''],
      ['token', undefined],
      ['token', '"quoted" \\ </script>'],
      ['json', { a: [1, null] }, '{"a":[1,null]}'],
      [' name: with é and 🦀', 'x'],
      ['token', 'x'.repeat(300_000)],
    ];
    const written = events.map(([event, data]) => ({ event, data }));
    const arrives = events.map(([event, data, as = data]) =>
      as === undefined ? { event } : { event, data: as },
    );

    await broker.add(stream.key, written);
    const tab = await fixture.tab();
    await tab.evaluate((url) => followSocket(url), stream.ws());
    await tab.waitForFunction(() => seen.length === 1);
    for (const event of written) await broker.add(stream.key, [event]);
    await broker.end(stream.key);
    await tab.waitForFunction(() => states.length === 1);

    const [history, ...live] = await tab.evaluate(() => seen);
    assert.ok(Array.isArray(history) && live.every((message) => !Array.isArray(message)));
    const all = [...history, ...live];
    assert.equal(history.length, 1 + events.length);
    assert.deepEqual(
      all.map(({ id }) => numberOf(id)),
      range(0, 2 * events.length + 2),
    );
    assert.deepEqual(
      all.map(({ id, ...event }) => event),
      [{ event: 'start' }, ...arrives, ...arrives, { event: 'end', stream_status: 'ended' }],
    );
    assert.deepEqual(await tab.evaluate(() => states), CLOSED_AT_THE_END);
  },
);

inEachBrowser(
  'a page that resumes gets an empty array when nothing is new, then the next events',
  async (fixture) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('resumed');
    const { ids } = await broker.add(
      stream.key,
      range(0, 5).map(() => ({ event: 'token' })),
    );
    const [newest, older, other] = [await fixture.tab(), await fixture.tab(), await fixture.tab()];
    await newest.evaluate((url) => followSocket(url), stream.ws(broker, { last_event_id: ids[4] }));
    await older.evaluate((url) => followSocket(url), stream.ws(broker, { last_event_id: ids[2] }));
    await other.evaluate((url) => followSocket(url), stream.ws(broker, { lastEventId: ids[2] }));
    for (const tab of [newest, older, other]) await tab.waitForFunction(() => seen.length === 1);
    await broker.add(stream.key, [{ event: 'token', data: 'live' }]);
    await broker.call('/stream/cancel', { key: stream.key });
    for (const tab of [newest, older, other]) await tab.waitForFunction(() => states.length === 1);

    const numbers = (tab) =>
      tab
        .evaluate(() => seen)
        .then((seen) => seen.map((message) => [message].flat().map(({ id }) => numberOf(id))));
    assert.deepEqual(await numbers(newest), [[], [6], [7]]);
    assert.deepEqual(await numbers(older), [[4, 5], [6], [7]]);
    assert.deepEqual(await numbers(other), [[4, 5], [6], [7]]);
    for (const tab of [newest, older, other])
      assert.deepEqual(await tab.evaluate(() => states), CLOSED_AT_THE_END);

    // There is no 204 here. A page that has all events gets an empty array and the same close.
    const late = await fixture.tab();
    const { id } = (await newest.evaluate(() => seen)).at(-1);
    await late.evaluate((url) => followSocket(url), stream.ws(broker, { last_event_id: id }));
    await late.waitForFunction(() => states.length === 1);
    assert.deepEqual(await late.evaluate(() => [seen, states]), [[[]], CLOSED_AT_THE_END]);
  },
);

inEachBrowser('a page that closes gets its code back and a clean close', async (fixture) => {
  const broker = await fixture.broker();
  const stream = await broker.stream('left');
  const written = range(0, 200).map(() => ({ event: 'token', data: 'x'.repeat(1_000) }));
  const closes = [
    [1000, ''],
    [1000, 'enough'],
    [4001, 'mine'],
  ];
  for (const [code, reason] of closes) {
    const tab = await fixture.tab();
    await tab.evaluate((url) => followSocket(url), stream.ws());
    await tab.waitForFunction(() => seen.length === 1);
    // Events may be on their way.
    await Promise.all([
      broker.add(stream.key, written),
      tab.evaluate(([code, reason]) => socket.close(code, reason), [code, reason]),
    ]);
    await tab.waitForFunction(() => states.length === 1);
    assert.deepEqual(await tab.evaluate(() => states), [{ code, reason, wasClean: true }]);
  }
  await until(async () => (await broker.connectionsInUse()) === 0, 'the connections are closed');
});

inEachBrowser('the first array starts with the number of trimmed events', async (fixture) => {
  const broker = await fixture.broker();
  const stream = await broker.stream('trimmed', { max_events: 10 });
  await broker.add(
    stream.key,
    range(0, 500).map(() => ({ event: 'token' })),
  );
  await broker.end(stream.key);
  const tab = await fixture.tab();
  await tab.evaluate((url) => followSocket(url), stream.ws());
  await tab.waitForFunction(() => states.length === 1);
  const [[missed, ...history], ...live] = await tab.evaluate(() => seen);
  const first = numberOf(history[0].id);
  assert.deepEqual(
    { ...missed, data: JSON.parse(missed.data) },
    {
      event: 'missedevents',
      data: { after: null, first: history[0].id, missed: first },
    },
  );
  assert.ok(first > 0 && first <= 492, `the first event kept is ${first}`);
  assert.deepEqual(
    [...history, ...live].map(({ id }) => numberOf(id)),
    range(first, 502),
  );
});

inEachBrowser('a page with a bad token gets no connection', async (fixture) => {
  const broker = await fixture.broker();
  const proxy = await fixture.proxy(broker);
  const stream = await broker.stream('mine');
  const tab = await fixture.tab();
  await tab.evaluate((url) => followSocket(url), stream.ws(proxy, { token: 'no-token' }));
  await tab.waitForFunction(() => states.length === 1);
  assert.deepEqual(await tab.evaluate(() => [seen, states]), [
    [],
    [{ code: 1006, reason: '', wasClean: false }],
  ]);
  assert.deepEqual(
    proxy.gets.map(({ status }) => status),
    [401],
  );
});

inEachBrowser(
  'a page gets a close when its broker stops, and the broker exits in order',
  async (fixture) => {
    const broker = await fixture.broker();
    const stream = await broker.stream('interrupted');
    const tab = await fixture.tab();
    await tab.evaluate((url) => followSocket(url), stream.ws());
    await tab.waitForFunction(() => seen.length === 1);
    await until(async () => (await broker.connectionsInUse()) === 1, 'the page is connected');
    broker.terminate();
    await tab.waitForFunction(() => states.length === 1);
    const [{ code, wasClean }] = await tab.evaluate(() => states);
    assert.deepEqual([code, wasClean], [1012, true]);
    assert.deepEqual(await broker.gone, { code: 0, signal: null });
  },
);
