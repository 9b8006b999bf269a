// The store or the broker is unavailable for a while.

import assert from 'node:assert/strict';
import { startRedis } from '../../support/redis.mjs';
import { SAMPLE } from '../../../api/console/www/js/sample.js';
import { numberOf, range, until } from '../harness.mjs';
import { consoleBroker, onConsole } from './console.mjs';

const IMPATIENT = { STREAMER_REDIS_TIMEOUT: '1' };
const NO_STORE = 'The store does not answer.';
const NO_BROKER = "The broker can't be reached.";

for (const [how, stop, goOn] of [
  ['hangs', (redis) => redis.suspend(), (redis) => redis.resume()],
  [
    'is killed',
    async (redis) => {
      await redis.command('SAVE');
      await redis.kill();
    },
    async (_, fixture) => {
      const again = await startRedis(fixture.folder);
      fixture.atClose(() => again.kill());
    },
  ],
]) {
  onConsole(
    `when the store ${how} the page shows it, goes on, and shows the later events`,
    async (fixture, visit) => {
      const broker = await consoleBroker(fixture, IMPATIENT);
      await broker.stream('through');
      await broker.add('through', [{ event: 'token', data: 'before' }]);
      const tab = await visit(broker);
      await tab.openStream('through');
      await tab.rows.getByText('before').waitFor();

      tab.expect(/status of 503/, /ERR_ABORTED/, /WebSocket connection to/);
      const redis = await fixture.redis();
      await stop(redis);
      await tab.banner.getByText(NO_STORE).waitFor();
      await tab.rows.getByText('before').waitFor();
      await tab.publishBy('One event');
      await tab.page.getByLabel('Data').fill('refused');
      await tab.button('Publish').click();
      await tab.page.locator('.notice.bad').first().waitFor();
      for (const page of ['Overview', 'Streams']) {
        await tab.page.getByRole('link', { name: page, exact: true }).click();
        await until(async () => (await tab.title.textContent()) === page, page);
        await tab.banner.getByText(NO_STORE).waitFor();
      }
      await tab.openStream('through');
      await goOn(redis, fixture);
      await tab.banner.waitFor({ state: 'detached' });
      await tab.follows('live');
      // A refused write may have been stored, because the broker could not confirm it.
      await until(
        () => broker.add('through', [{ event: 'token', data: 'after' }]).catch(() => false),
        'the stream takes events',
      );
      await tab.rows.getByText('after').waitFor();
    },
    ['redis'],
  );
}

onConsole(
  'when the broker is killed the page shows it, connects again, and stores its text once',
  async (fixture, visit) => {
    const broker = await consoleBroker(fixture);
    const tab = await visit(broker);
    tab.expect(/ERR_CONNECTION/, /ERR_EMPTY_RESPONSE/, /ERR_INCOMPLETE/, /WebSocket connection to/);
    await tab.button('Start a demo stream').click();
    const panes = [tab.pane('sse'), tab.pane('ws')];
    await tab.page.getByLabel('End the stream after the answer').check();
    await tab.page.getByLabel('tokens a second').fill('40');
    await Promise.all(panes.map((pane) => pane.reaches(20)));

    await broker.kill();
    await tab.banner.getByText(NO_BROKER).waitFor();
    await Promise.all(panes.map((pane) => pane.is('closed')));
    await tab.page.locator('.publish').getByText("The broker can't be reached").waitFor();
    const again = await consoleBroker(fixture, { STREAMER_PORT: `${broker.port}` });
    await tab.banner.waitFor({ state: 'detached' });
    for (const pane of panes) await pane.press('Reconnect');
    await Promise.all(panes.map((pane) => pane.is('finished')));
    await tab.follows('finished');

    const events = await again.events(await tab.title.textContent());
    assert.deepEqual(
      events.map(({ id }) => numberOf(id)),
      range(0, events.length),
    );
    assert.equal(events.map(({ data = '' }) => data).join(''), SAMPLE);
    for (const pane of panes) {
      const { last, gaps, repeats, connections } = await pane.strip();
      assert.deepEqual(
        { last, gaps, repeats, connections },
        { last: events.length - 1, gaps: 0, repeats: 0, connections: 2 },
      );
      assert.equal(await pane.text(), SAMPLE);
    }
    await tab.show('Text');
    assert.equal(
      await tab.page.getByRole('region', { name: 'Text', exact: true }).textContent(),
      SAMPLE,
    );
  },
  ['redis'],
);
