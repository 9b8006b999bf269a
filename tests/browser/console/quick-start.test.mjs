// From the first click to a stream whose connection was cut and made again.

import assert from 'node:assert/strict';
import { SAMPLE } from '../../../api/console/www/js/sample.js';
import { numberOf, range, until } from '../harness.mjs';
import { consoleBroker, onConsole } from './console.mjs';

/** Cells of a strip. */
const CELLS = 240;

for (const [cut, other, title] of [
  ['sse', 'ws', 'server-sent events'],
  ['ws', 'sse', 'WebSocket'],
]) {
  onConsole(
    `a new user sees an answer, cuts the connection of ${title}, and resumes without a gap`,
    async (fixture, visit) => {
      const broker = await consoleBroker(fixture);
      const tab = await visit(broker, { apiKey: null });
      assert.equal(await tab.title.textContent(), 'API key');
      await tab.signIn(broker.apiKey);
      await tab.page.getByText('Events a second').waitFor();
      assert.equal(await tab.title.textContent(), 'Overview');

      await tab.button('Start a demo stream').click();
      await tab.page.getByLabel('End the stream after the answer').check();
      const [pane, witness] = [tab.pane(cut), tab.pane(other)];
      await Promise.all([pane.is('open'), witness.is('open')]);
      await Promise.all([pane.reaches(5), witness.reaches(5)]);

      await pane.press('Cut the connection');
      await pane.is('cut');
      const still = { strip: await pane.strip(), text: await pane.text() };
      await witness.reaches(still.strip.last + 15);
      assert.deepEqual({ strip: await pane.strip(), text: await pane.text() }, still);
      assert.equal(still.strip.connections, 1);

      await pane.press('Reconnect');
      await pane.is('open');
      await tab.page.getByLabel('tokens a second').fill('200');
      await Promise.all([pane.is('finished'), witness.is('finished')]);

      const key = await tab.title.textContent();
      const events = await broker.events(key);
      const last = events.length - 1;
      assert.deepEqual(
        events.map(({ id }) => numberOf(id)),
        range(0, last + 1),
      );
      assert.equal(events[last].event, 'end');
      const text = events.map(({ data = '' }) => data).join('');
      assert.equal(text, SAMPLE);
      for (const [one, connections] of [
        [pane, 2],
        [witness, 1],
      ]) {
        const strip = await one.strip();
        assert.deepEqual(
          {
            last: strip.last,
            gaps: strip.gaps,
            repeats: strip.repeats,
            connections: strip.connections,
          },
          { last, gaps: 0, repeats: 0, connections },
        );
        assert.equal(strip.cells.length, Math.min(last + 1, CELLS));
        assert.equal(await one.text(), text);
      }
      // Each number has the shade of the connection that delivered it.
      const shades = (await pane.strip()).cells;
      const first = shades.indexOf('by-2');
      assert.equal(first, still.strip.last + 1 - Math.max(0, last + 1 - CELLS));
      assert.ok(
        shades.slice(0, first).every((shade) => shade === 'by-1') &&
          shades.slice(first).every((shade) => shade === 'by-2'),
      );
      assert.match(
        await pane.wire(),
        new RegExp(`── connection 2, after ${events[still.strip.last].id} ──`),
      );
      await until(
        async () => /ended/.test(await tab.page.locator('.heading .badge').textContent()),
        'the page shows that the stream has ended',
      );
    },
  );
}
