// Keys, names and data that contain markup, scripts or templates. The console must show them as
// text.

import assert from 'node:assert/strict';
import { until } from '../harness.mjs';
import { consoleBroker, onConsole } from './console.mjs';

const ATTEMPTS = [
  '<img src=x onerror=alert(1)>',
  '"><script>alert(2)</script>',
  "'-alert(3)-'\"><svg/onload=alert(3)>",
  'javascript:alert(4)',
  '${alert(5)}`{{alert(5)}}',
  '</textarea></pre></bdi><iframe srcdoc="<script>alert(6)</script>">',
  '<!--?lit$--><!--lit-part--><style>*{display:none}</style>',
  '\u202Egnp.\u2066exe\u2069<b>bold</b>&lt;&amp;',
];

/** Elements that no page of the console contains. */
const FOREIGN =
  'img, iframe, object, embed, style, b:not(.chart b, .sum b, .field b, .hint b), body script, svg[onload], [onerror], [srcdoc]';
const VIEWS = ['Events', 'Text', 'Clients', 'Code'];

onConsole(
  'hostile keys, names and data are text in every view',
  async (fixture, visit) => {
    const broker = await consoleBroker(fixture);
    for (const key of ATTEMPTS) await broker.stream(key);
    const tab = await visit(broker);
    const { page } = tab;
    const clean = async (where) => {
      assert.equal(await page.locator(FOREIGN).count(), 0, where);
      assert.deepEqual(
        await page
          .locator('a')
          .evaluateAll((links) =>
            links.filter(({ protocol }) => protocol !== 'http:').map(({ href }) => href),
          ),
        [],
      );
    };
    const shows = (text, root = page.locator('body')) =>
      until(async () => (await root.textContent()).includes(text), `${text} as text`);

    for (const address of ['#/', '#/streams']) {
      await tab.go(address);
      // The overview shows six streams.
      await until(
        async () => (await page.locator('main bdi').count()) >= Math.min(ATTEMPTS.length, 6),
        `the keys at ${address}`,
      );
      const shown = await page.locator('main bdi').allTextContents();
      assert.deepEqual(
        shown.filter((key) => !ATTEMPTS.includes(key)),
        [],
      );
      await clean(address);
    }
    const search = page.getByRole('searchbox', { name: 'Search' });
    await search.fill(`${ATTEMPTS[0]} not there`);
    await shows(`Open “${ATTEMPTS[0]} not there”`);
    await clean('nothing found');

    await page.emulateMedia({ reducedMotion: 'reduce' });
    for (const text of ATTEMPTS) {
      await broker.add(text, [
        { event: text, data: text },
        { event: text, data: { text } },
      ]);
      await tab.openStream(text, 'clients');
      assert.equal(await page.title(), `${text} · tinistreamer`);
      for (const [pane, sent] of [
        [tab.pane('sse'), text],
        [tab.pane('ws'), JSON.stringify(text)],
      ]) {
        await pane.press('Connect');
        await pane.reaches(2);
        assert.equal(await pane.text(), text + text);
        await pane.root.getByText('On the wire').click();
        await until(async () => (await pane.wire()).includes(sent), 'it is on the wire');
      }
      for (const view of VIEWS) {
        await tab.show(view);
        await shows(
          view === 'Code' ? JSON.stringify(text) : text,
          page.getByRole('tabpanel', { name: view }),
        );
        await clean(`${text}: ${view}`);
      }
      await tab.show('Text');
      await shows(text + text, page.getByRole('tabpanel'));
      await page.getByLabel('Text of').selectOption(text);
      await tab.show('Events');
      for (const row of [tab.rows.nth(1), tab.rows.nth(2)]) {
        await row.click();
        await shows(text, page.locator('.inspector h3'));
        await clean(`${text}: inspector`);
      }
      await page.getByLabel('Show').selectOption(text);
      await shows('2 of 3 events');
    }
  },
  ['memory'],
);

onConsole(
  'hostile text in messages and forms is shown as text',
  async (fixture, visit) => {
    const broker = await consoleBroker(fixture);
    await broker.stream('forms');
    const tab = await visit(broker);
    const { page } = tab;
    await tab.openStream('forms');
    await tab.follows('live');

    // A proxy or an attacker could send this instead of the broker.
    tab.expect(/status of 400/, /status of 418/);
    let answer = { status: 400, body: JSON.stringify({ code: 'x', message: ATTEMPTS[0] }) };
    await page.route('**/api/event/add', (route) => route.fulfill(answer));
    await tab.publishBy('One event');
    await page.getByLabel('Data').fill(ATTEMPTS[1]);
    await tab.button('Publish').click();
    await tab.notices.getByText(ATTEMPTS[0], { exact: true }).waitFor();
    answer = { status: 418, contentType: 'text/html', body: '<script>alert(7)</script>' };
    await tab.button('Publish').click();
    await tab.notices.getByText('Something answers 418').waitFor();

    await tab.publishBy('A batch');
    await page.getByLabel('Events, one in a line').fill(ATTEMPTS[1]);
    await tab.button('Publish all').click();
    await page
      .locator('.publish .problem')
      .getByText(/^Line 1: /)
      .waitFor();

    await tab.publishBy('Type an answer');
    await page.getByRole('textbox', { name: 'Answer' }).fill(ATTEMPTS.join('\n'));
    await page.getByLabel('Event name').fill(ATTEMPTS[5]);
    await page.getByLabel('tokens a second').fill('200');
    await page.getByLabel('End the stream after the answer').check();
    await tab.button('Type').last().click();
    await tab.follows('finished');
    await tab.show('Text');
    await until(
      async () => (await page.locator('.answer').textContent()) === ATTEMPTS.join('\n'),
      'all that was typed',
    );
    assert.equal(await page.locator(FOREIGN).count(), 0);
  },
  ['memory'],
);
