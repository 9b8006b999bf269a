// Writing in the console, and the end of a stream.

import assert from 'node:assert/strict';
import { until } from '../harness.mjs';
import { consoleBroker, onConsole } from './console.mjs';

onConsole(
  'one event is sent as it was written: text with its lines, JSON with its long numbers',
  async (fixture, visit) => {
    const { broker, tab } = await openStream(fixture, visit);
    await tab.publishBy('One event');
    const publish = async (event, data, json) => {
      await tab.page.getByLabel('Event name').fill(event);
      await tab.page.getByLabel('Data').fill(data);
      await tab.page.getByLabel('It is JSON').setChecked(json);
      await tab.button('Publish').click();
    };
    const written = [
      ['message', 'two\nlines, "quoted" \\ 茶 🍵', false],
      ['a name', '', false],
      [
        'json',
        '{"n": 12345678901234567890, "x": 1.50}',
        true,
        '{"n":12345678901234567890,"x":1.50}',
      ],
      ['json', '12345678901234567890', true],
      ['text', '{"not": "taken apart"}', false],
    ];
    for (const [n, [event, data, json]] of written.entries()) {
      await publish(event, data, json);
      await until(
        async () => (await broker.info('by hand')).length === n + 2,
        `event ${n} is written`,
      );
    }
    assert.deepEqual(
      (await broker.events('by hand')).slice(1).map(({ event, data = '' }) => [event, data]),
      written.map(([event, data, , as = data]) => [event, as]),
    );

    await publish('json', '{"broken": ', true);
    await tab.page
      .locator('.publish .problem')
      .getByText(/^Data: /)
      .waitFor();
    tab.expect(/status of 400/);
    await publish('end', 'no', false);
    await tab.notices.getByText('reserved').waitFor();
    assert.equal((await broker.info('by hand')).length, written.length + 1);
  },
);

onConsole(
  'a batch is written completely, or a bad line is reported and nothing is written',
  async (fixture, visit) => {
    const { broker, tab } = await openStream(fixture, visit);
    await tab.publishBy('A batch');
    const publish = async (...lines) => {
      await tab.page.getByLabel('Events, one in a line').fill(lines.join('\n'));
      await tab.button('Publish all or nothing').click();
    };
    const good = ['{"event": "one", "data": {"id": 12345678901234567890}}', '', '{"event": "two"}'];
    await publish(...good);
    await tab.notices.getByText('2 events written').waitFor();

    const problem = tab.page.locator('.publish .problem');
    await publish(...good, '{"event": "three"');
    await problem.getByText(/^Line 4: /).waitFor();
    tab.expect(/status of 400/);
    await publish(...good, '{"event": "cancel"}');
    await tab.notices.getByText('reserved').waitFor();
    await publish(...good, '{"name": "three"}');
    await tab.notices.getByText('event').last().waitFor();

    const events = await broker.events('by hand');
    assert.deepEqual(
      events.slice(1).map(({ event, data }) => [event, data]),
      [
        ['one', '{"id":12345678901234567890}'],
        ['two', undefined],
      ],
    );
  },
);

onConsole(
  'a stream is ended or cancelled, and a new one at its key is shown from its start',
  async (fixture, visit) => {
    const { broker, tab } = await openStream(fixture, visit);
    const rows = () => tab.rows.locator('.name').allTextContents();
    const shows = (...names) => until(async () => `${await rows()}` === `${names}`, `${names}`);
    await broker.add('by hand', [{ event: 'first' }]);
    await shows('start', 'first');
    await tab.button('End').click();
    await tab.notices.getByText('The stream has ended').waitFor();
    await tab.follows('finished');
    await shows('start', 'first', 'end');
    await tab.page.getByText('The stream is finished and takes no more events.').waitFor();

    await tab.button('New stream at this key').click();
    await tab.follows('live');
    await shows('start');
    await broker.add('by hand', [{ event: 'second' }]);
    await shows('start', 'second');
    await tab.button('Cancel').click();
    await tab.follows('finished');
    await shows('start', 'second', 'cancel');

    // Also when another backend creates it.
    await broker.stream('by hand');
    await tab.follows('live');
    await shows('start');
    assert.equal(await tab.page.locator('.heading .badge').textContent(), 'active');
  },
);

onConsole(
  'the producer of a stream is asked to stop, and the page shows who asked and that it failed',
  async (fixture, visit) => {
    const { broker, tab } = await openStream(fixture, visit);
    const badges = () => tab.page.locator('.heading .badge').allTextContents();
    await broker.call('/client/signal?key=by+hand', { name: 'steer' });
    await tab.page.getByText('signals: 1. steer from api-key').waitFor();
    await broker.call('/stream/renew', { key: 'by hand', lease: 50, stall: 40 });
    await tab.page.getByText('lease ends in').waitFor();
    await tab.page.getByText('must write in').waitFor();
    await tab.button('Ask to stop').click();
    await tab.notices.getByText('The producer is asked to stop').waitFor();
    await until(async () => `${await badges()}` === 'active,stopping', 'it is stopping');
    await tab.page.getByText('signals: 1. steer from api-key, 2. stop from api-key').waitFor();
    assert.ok(await tab.button('Ask to stop').isDisabled());
    await tab.follows('live');
    await tab.button('Fail').click();
    await tab.follows('finished');
    await until(async () => `${await badges()}` === 'failed', 'it has failed');
    await tab.page.getByText('error · 2 events stored').waitFor();
  },
);

async function openStream(fixture, visit) {
  const broker = await consoleBroker(fixture);
  await broker.stream('by hand');
  const tab = await visit(broker);
  await tab.openStream('by hand');
  await tab.follows('live');
  return { broker, tab };
}
