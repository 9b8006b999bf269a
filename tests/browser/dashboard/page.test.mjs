// Twenty live streams over one connection: the page loads, loses its connection, filters events,
// and goes on.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { DEADLINE, onStores, until } from '../harness.mjs';
import { openDashboard, startAlone, startDashboard } from './dashboard.mjs';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const STREAMS = 20;
const exact = (tiles) => tiles.every(({ gaps, repeats }) => gaps === 0 && repeats === 0);

onStores(
  'a page shows twenty streams over one connection, and a cut loses or repeats no event',
  async (fixture) => {
    const dashboard = await startDashboard(fixture);
    const page = await openDashboard(fixture, dashboard);
    await page.is('live');
    const meters = (tiles) => tiles.filter(({ kind }) => kind === 'meter');
    const before = await page.reach('values everywhere', (tiles) =>
      meters(tiles).every(({ got }) => got > 2),
    );
    assert.equal(before.length, STREAMS);
    assert.equal(dashboard.proxy.open, 1);

    await page.cut();
    await page.is('cut');
    await page.is('live');
    await until(async () => (await page.figure('resumed')) >= 1, 'it says so');
    dashboard.proxy.cutAll();
    await page.reach('more of each', (tiles) =>
      meters(tiles).every(({ got }, i) => got > meters(before)[i].got + 5),
    );
    const after = await page.tiles();
    assert.ok(exact(after), JSON.stringify(after));

    // The page counts the stored events. The broker's numbers start at 0.
    const [{ key }] = await dashboard.broker.call('/stream/?pattern=*gpu-0:1');
    const { got } = after.find(({ slug }) => slug === 'gpu-0');
    assert.ok(got > 0 && got <= (await dashboard.broker.events(key)).length);
    assert.deepEqual([page.problems, dashboard.errors()], [[], '']);
  },
);

onStores(
  'tiles wait for missing streams, show their end, and go on with the next stream',
  async (fixture) => {
    const dashboard = await startDashboard(fixture);
    const page = await openDashboard(fixture, dashboard);
    /** The sequence of states of each answer. */
    const states = new Map();
    await page.reach(
      'an answer for which the tile waited, that came and ended, and the next wait',
      (tiles) => {
        for (const { slug, state } of tiles.filter(({ kind }) => kind === 'answer')) {
          const before = states.get(slug) ?? [];
          if (before.at(-1) !== state) states.set(slug, [...before, state]);
        }
        return [...states.values()].some((passed) =>
          `${passed}`.includes('waiting,live,ended,waiting,live'),
        );
      },
    );
    assert.ok(exact(await page.tiles()));
  },
  ['memory'],
  2 * DEADLINE,
);

onStores(
  'with alerts only the ids still grow, and nothing counts as a gap when all events return',
  async (fixture) => {
    const dashboard = await startDashboard(fixture);
    const page = await openDashboard(fixture, dashboard);
    await page.reach('values', (tiles) =>
      tiles.filter(({ kind }) => kind === 'meter').every(({ got }) => got > 2),
    );
    await page.show('Alerts only');
    await until(
      () => dashboard.proxy.gets.at(-1).target.includes('events=alert'),
      'the request for alerts',
    );
    const before = await page.figure('got');
    const alerts = (tiles) =>
      tiles.filter(({ kind }) => kind === 'log').reduce((sum, { got }) => sum + got, 0);
    const had = alerts(await page.tiles());
    await page.reach('alerts', (tiles) => alerts(tiles) > had + 2);
    await page.show('All events');
    const tiles = await page.reach(
      'what was filtered',
      (tiles) => tiles.filter(({ filtered }) => filtered > 0).length > 3,
    );
    assert.ok(exact(tiles), JSON.stringify(tiles));
    assert.ok((await page.figure('got')) > before);
  },
  ['memory'],
);

onStores(
  'the start script starts a broker and the page, and an interrupt ends both',
  async (fixture) => {
    const dashboard = await startAlone(fixture);
    const page = await openDashboard(fixture, dashboard);
    await page.is('live');
    dashboard.child.kill('SIGINT');
    assert.deepEqual(await dashboard.child.gone, { code: 0, signal: null });
    await page.is('reconnecting');
  },
  ['memory'],
);

for (const colorScheme of ['light', 'dark']) {
  for (const [device, viewport] of Object.entries({
    desktop: { width: 1280, height: 900 },
    phone: { width: 390, height: 844 },
  })) {
    onStores(
      `axe finds nothing serious on the dashboard, ${colorScheme}, on a ${device}`,
      async (fixture) => {
        const dashboard = await startDashboard(fixture);
        const page = await openDashboard(fixture, dashboard, {
          colorScheme,
          viewport,
          bypassCSP: true,
        });
        await page.page.addScriptTag({ path: AXE });
        const check = async (where) => {
          const { violations } = await page.page.evaluate(() => axe.run());
          const grave = violations.filter(({ impact }) => ['serious', 'critical'].includes(impact));
          assert.deepEqual(
            grave.map(({ id, nodes }) => [
              id,
              nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`),
            ]),
            [],
            where,
          );
          const width = await page.page.evaluate(() => document.documentElement.scrollWidth);
          assert.ok(width <= viewport.width, `${where} is ${width} wide`);
        };
        await page.reach('answers', (tiles) =>
          tiles.some(({ kind, got }) => kind === 'answer' && got > 3),
        );
        await check('all events');
        await page.show('Alerts only');
        await page.reach('alerts', (tiles) =>
          tiles.some(({ kind, got }) => kind === 'log' && got > 2),
        );
        await check('alerts only');
        await page.show('All events');
        await page.is('live');
        await page.cut();
        await check('cut off');
      },
      ['memory'],
    );
  }
}
