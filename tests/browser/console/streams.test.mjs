// The list of streams, and creating one.

import assert from 'node:assert/strict';
import { range, until } from '../harness.mjs';
import { consoleBroker, onConsole } from './console.mjs';

onConsole(
  'the list shows streams as they are created, grow, expire and end',
  async (fixture, visit) => {
    const broker = await consoleBroker(fixture);
    const tab = await visit(broker, { at: '#/streams' });
    await tab.page.getByText('No stream is active.').waitFor();

    await broker.stream('chat-1', { ttl: 3_000, max_events: 2_000 });
    await tab.page.getByText('1 active stream', { exact: true }).waitFor();
    assert.deepEqual((await row(tab, 'chat-1')).slice(0, 3), ['chat-1', 'active', '1']);
    await broker.add(
      'chat-1',
      range(0, 1_233).map(() => ({ event: 'token' })),
    );
    await until(
      async () => (await row(tab, 'chat-1'))[2] === '1,234',
      'the length that it has now',
    );

    // Between two requests to the broker the page counts down by itself. This compares times
    // without a write between them.
    const left = async () => seconds((await row(tab, 'chat-1'))[3]);
    const before = await left();
    assert.ok(before > 2_900 && before <= 3_000, `${before} seconds are left`);
    await until(async () => (await left()) < before - 2, 'less time is left');

    await broker.stream('chat-2');
    await tab.page.getByText('2 active streams', { exact: true }).waitFor();
    await broker.end('chat-1');
    await broker.call('/stream/cancel', { key: 'chat-2' });
    await until(async () => (await row(tab, 'chat-1'))[1] === 'ended', 'the one that has ended');
    await until(async () => (await row(tab, 'chat-2'))[1] === 'cancelled', 'the cancelled stream');
    await tab.page.getByText('0 active streams', { exact: true }).waitFor();
  },
);

onConsole(
  'a search finds a stream by part of its key, and by a pattern',
  async (fixture, visit) => {
    const broker = await consoleBroker(fixture);
    for (const key of ['chat-1', 'chat-2', 'agent-run-12']) await broker.stream(key);
    const tab = await visit(broker, { at: '#/streams' });
    const search = tab.page.getByRole('searchbox', { name: 'Search' });
    for (const [text, found] of [
      ['', ['agent-run-12', 'chat-1', 'chat-2']],
      ['hat-', ['chat-1', 'chat-2']],
      ['-1', ['agent-run-12', 'chat-1']],
      ['chat-?', ['chat-1', 'chat-2']],
      ['*-[13]', ['chat-1']],
    ]) {
      await search.fill(text);
      await until(
        async () => `${(await keys(tab)).sort()}` === `${found}`,
        `${text} finds ${found}`,
      );
    }

    tab.expect(/status of 400/);
    await search.fill('chat-[');
    await tab.page.getByRole('alert').getByText("The pattern can't be used").waitFor();
    tab.expect(/status of 404/);
    await search.fill('nowhere');
    await tab.page.getByText('Open “nowhere”').click();
    await tab.page.getByText('There is no stream at this key').waitFor();
  },
);

onConsole(
  'a form creates a stream with its settings and opens it, and the broker refuses a second one',
  async (fixture, visit) => {
    const broker = await consoleBroker(fixture);
    const tab = await visit(broker, { at: '#/streams' });
    const create = async (key, ttl = '') => {
      await tab.page.getByLabel('Key', { exact: true }).fill(key);
      await tab.page.getByLabel('Lives for (s)').fill(ttl);
      await tab.button('Create and open').click();
    };
    const key = 'a key/ä&=?#+% "quoted"';
    await create(key, '77');
    await until(async () => (await tab.title.textContent()) === key, 'its page');
    await tab.follows('live');
    const { status, ttl } = await broker.info(key);
    assert.ok(status === 'active' && ttl > 0 && ttl <= 77);

    await tab.go('#/streams');
    tab.expect(/status of 400/);
    await create(key);
    await tab.notices.getByText('An active stream exists at the key').waitFor();
    assert.equal(await tab.title.textContent(), 'Streams');
  },
);

/** The cells of a stream's row, when it exists. */
const row = (tab, key) =>
  tab.page
    .getByRole('row')
    .filter({ has: tab.page.getByText(key, { exact: true }) })
    .locator('th, td')
    .allTextContents();
const keys = (tab) => tab.page.locator('tbody th').allTextContents();

/** Of a text such as `1h 2m` or `3m 04s`. */
function seconds(text) {
  const units = { d: 86_400, h: 3_600, m: 60, s: 1 };
  return [...text.matchAll(/(\d+)([dhms])/g)].reduce(
    (sum, [, figure, unit]) => sum + figure * units[unit],
    0,
  );
}
