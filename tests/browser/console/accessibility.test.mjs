// Accessibility: no serious findings by axe on any page, everything by keyboard, and less motion on
// request.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { until } from '../harness.mjs';
import { addressOf, consoleBroker, onConsole } from './console.mjs';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
/** What axe finds that is serious or critical, and where. */
async function grave(page) {
  const { violations } = await page.evaluate(() => axe.run());
  return violations
    .filter(({ impact }) => ['serious', 'critical'].includes(impact))
    .map(({ id, nodes }) => [
      id,
      nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`),
    ]);
}

const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844 };

for (const colorScheme of ['light', 'dark']) {
  for (const [device, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
    onConsole(
      `axe finds nothing serious on any page, ${colorScheme}, on a ${device}`,
      async (fixture, visit) => {
        const broker = await consoleBroker(fixture);
        for (const key of ['running', 'over', 'called off']) await broker.stream(key);
        const token = (data) => ({ event: 'token', data });
        await broker.add('running', [
          token('Hello '),
          token('world'),
          { event: 'tool', data: { call: 'search', n: 1 } },
        ]);
        await broker.end('over');
        await broker.call('/stream/cancel', { key: 'called off' });
        const tab = await visit(broker, {
          apiKey: null,
          context: { colorScheme, viewport },
          script: AXE,
        });
        const { page } = tab;
        const check = async (where) => {
          assert.deepEqual(await grave(page), [], where);
          const width = await page.evaluate(() => document.documentElement.scrollWidth);
          assert.ok(width <= viewport.width, `${where} is ${width} wide`);
        };

        await check('the form for the key');
        tab.expect(/status of 4\d\d/);
        await page.getByLabel('Key', { exact: true }).fill('a-wrong-key');
        await page.keyboard.press('Enter');
        await page.getByText('The broker does not accept this key').waitFor();
        await check('a wrong key');
        await tab.signIn(broker.apiKey);
        await page.getByRole('link', { name: 'running' }).waitFor();
        await check('the overview');
        await tab.go('#/streams');
        await page.getByRole('row').nth(1).waitFor();
        await check('the list');

        const listed = await fixture.tab();
        const named = { client_name: 'a display with a long name, in the hall', tags: 'eu,lobby' };
        const access = await broker.call('/stream/token', { key: 'running' });
        await listed.evaluate(
          (url) => followEvents(url, []),
          `${broker.url}/api/client/sse?${new URLSearchParams({ key: 'running', token: access.token, ...named })}`,
        );
        await tab.go('#/clients');
        await page.getByText('lobby').waitFor();
        await check('the clients');
        await tab.button('Disconnect a display').click();
        await check('whether to disconnect one');
        await tab.button('Keep').click();

        await tab.openStream('running');
        await tab.rows.nth(3).click();
        await check('events, with the inspector');
        for (const way of ['One event', 'A batch']) {
          await tab.publishBy(way);
          await check(way);
        }
        await tab.button('Publish').click();
        await tab.notices.first().waitFor();
        await check('a notice');
        await tab.show('Text');
        await check('the text');
        await tab.show('Clients');
        for (const transport of ['sse', 'ws']) await tab.pane(transport).press('Connect');
        await tab.pane('ws').reaches(3);
        await tab.pane('sse').press('Cut the connection');
        for (const wire of await page.getByText('On the wire').all()) await wire.click();
        await check('clients');
        await tab.show('Code');
        await page.getByLabel('Python snippet').waitFor();
        await tab.button('Make a token').click();
        await page.getByLabel('Polling snippet').waitFor();
        await check('code');
        for (const key of ['over', 'called off', 'never there']) {
          await tab.openStream(key);
          await page.locator('.heading .badge').waitFor();
          await check(key);
        }
      },
      ['memory'],
    );
  }
}

onConsole(
  'axe finds nothing serious while the store is unavailable',
  async (fixture, visit) => {
    const broker = await consoleBroker(fixture, { STREAMER_REDIS_TIMEOUT: '1' });
    const tab = await visit(broker, { script: AXE });
    tab.expect(/status of 503/, /ERR_ABORTED/);
    (await fixture.redis()).suspend();
    await tab.banner.waitFor();
    for (const colorScheme of ['light', 'dark']) {
      await tab.page.emulateMedia({ colorScheme });
      assert.deepEqual(await grave(tab.page), [], colorScheme);
    }
  },
  ['redis'],
);

onConsole(
  'a user without a mouse creates a stream, cuts a connection and connects again',
  async (fixture, visit) => {
    const broker = await consoleBroker(fixture);
    const tab = await visit(broker, { apiKey: null });
    const { keyboard } = tab.page;
    /** With the Tab key, as often as it takes; what has the focus must show it. */
    const reach = async (role, name) => {
      const target = tab.page.getByRole(role, { name }).first();
      await target.waitFor();
      for (let steps = 0; steps < 60; steps += 1) {
        if (await target.evaluate((element) => element === document.activeElement)) {
          assert.ok(
            await target.evaluate((element) => getComputedStyle(element).outlineStyle !== 'none'),
            `${name} shows the focus`,
          );
          return;
        }
        await keyboard.press('Tab');
      }
      assert.fail(`the Tab key does not reach ${name}`);
    };

    await until(
      () => tab.page.evaluate(() => document.activeElement?.id === 'api-key'),
      'the field has the focus',
    );
    await keyboard.type(broker.apiKey);
    await keyboard.press('Enter');
    await reach('button', 'Start a demo stream');
    await keyboard.press('Enter');
    await until(
      async () => (await tab.title.textContent()).startsWith('demo-'),
      'the page of the demo',
    );
    await tab.pane('sse').reaches(3);
    await reach('button', 'Cut the connection');
    await keyboard.press('Space');
    await tab.pane('sse').is('cut');
    await reach('button', 'Reconnect');
    await keyboard.press('Enter');
    await tab.pane('sse').is('open');

    await reach('tab', 'Clients');
    await keyboard.press('ArrowLeft');
    await tab.page.getByRole('tab', { name: 'Text', selected: true }).waitFor();
    await keyboard.press('ArrowLeft');
    await tab.rows.first().waitFor();
    await reach('listbox', 'Events');
    await keyboard.press('Home');
    await tab.page.getByLabel('Event').getByRole('heading', { name: 'start' }).waitFor();
  },
);

onConsole(
  'the skip link leads to the content',
  async (fixture, visit) => {
    const tab = await visit(await consoleBroker(fixture));
    await tab.page.reload();
    await tab.title.waitFor();
    await tab.page.keyboard.press('Tab');
    const skip = tab.page.getByRole('link', { name: 'Skip to the content' });
    await skip.and(tab.page.locator(':focus')).waitFor();
    await tab.page.keyboard.press('Enter');
    await tab.page.locator('main:focus').waitFor();
    assert.ok(!tab.page.url().includes('#main'));
  },
  ['memory'],
);

onConsole(
  'the caret blinks, unless the user prefers less motion',
  async (fixture, visit) => {
    const broker = await consoleBroker(fixture);
    await broker.stream('still');
    const tab = await visit(broker, { at: addressOf('still', 'text') });
    const caret = tab.page.locator('.answer .caret');
    const moves = () =>
      caret.evaluate((caret) =>
        caret.getAnimations().some(({ playState }) => playState === 'running'),
      );
    await caret.waitFor();
    assert.equal(await moves(), true);
    await tab.page.emulateMedia({ reducedMotion: 'reduce' });
    await until(async () => !(await moves()), 'it stands still');
  },
  ['memory'],
);
