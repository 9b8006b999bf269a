// Who is connected: the list, the search, and disconnecting one.

import assert from 'node:assert/strict';
import { until } from '../harness.mjs';
import { consoleBroker, onConsole } from './console.mjs';

onConsole(
  'the list shows each subscriber, its streams and its position, and filters by key and tag',
  async (fixture, visit) => {
    const broker = await consoleBroker(fixture);
    const [wall, many] = [await broker.stream('wall'), ['a/ä&=', 'b', 'c', 'd', 'e']];
    for (const key of many) await broker.stream(key);
    const { token } = await broker.call('/stream/token', { keys: many });
    const display = await fixture.tab();
    await display.evaluate(
      (url) => followEvents(url, ['start', 'alert']),
      wall.sse(broker, { client_name: 'Wall display', tags: 'eu,lobby' }),
    );
    const all = new URL(`${broker.url}/api/client/ws`);
    for (const key of many) all.searchParams.append('key', key);
    for (const [name, value] of Object.entries({ token, tags: 'eu', events: 'alert,m*' }))
      all.searchParams.set(name, value);
    const phone = await fixture.tab();
    await phone.evaluate((url) => followSocket(url), all.href.replace('http', 'ws'));
    await broker.add('wall', [{ event: 'alert' }, { event: 'alert' }]);

    const tab = await visit(broker, { at: '#/clients' });
    await tab.page.getByText('2 clients of this node').waitFor();
    await until(
      async () =>
        /Wall display eu lobby SSE · 127\.0\.0\.1 · for \d+s wall 3 events\d+ B 0/.test(
          await text(tab, 'Wall display'),
        ),
      'the display',
    );
    const other = await text(tab, 'without a name');
    assert.match(
      other,
      /without a name eu WebSocket · 127\.0\.0\.1 · for \d+s a\/ä&=bc and 2 more only alert,m\* 5 events/,
    );

    const find = (what, wanted) => tab.page.getByRole('searchbox', { name: what }).fill(wanted);
    await find('Key of a stream', 'e');
    await tab.page.getByText('1 client of this node found').waitFor();
    assert.match(await text(tab, 'without a name'), /only alert/);
    await find('Key of a stream', '');
    await tab.page.getByRole('link', { name: 'lobby' }).click();
    await tab.page.getByText('1 client of this node found').waitFor();
    assert.match(await text(tab, 'Wall display'), /lobby/);
    assert.equal(new URL(tab.page.url()).hash, '#/clients?tag=lobby');
    await find('Tag', 'nobody');
    await tab.page.getByText('No client of this node is found.').waitFor();

    // From a stream's page, which is a subscriber itself, to the stream's subscribers.
    await tab.openStream('wall');
    await tab.page.getByRole('link', { name: '2 clients' }).click();
    await tab.page.getByText('1 client of this node found').waitFor();
    assert.equal(new URL(tab.page.url()).hash, '#/clients?key=wall');
    await tab.go('#/');
    await tab.main.getByRole('link', { name: 'Clients' }).click();
    await tab.page.getByText('2 clients of this node').waitFor();
  },
  ['memory'],
);

onConsole(
  'a subscriber is disconnected after a confirmation, and not before',
  async (fixture, visit) => {
    const broker = await consoleBroker(fixture);
    const stream = await broker.stream('wall');
    const phone = await fixture.tab();
    await phone.evaluate((url) => followSocket(url), stream.ws(broker, { client_name: 'Phone' }));
    const tab = await visit(broker, { at: '#/clients' });
    const dialog = tab.page.getByRole('dialog', { name: 'Disconnect Phone?' });
    const ask = async () => {
      await tab.button('Disconnect Phone').click();
      await dialog.waitFor();
    };

    await ask();
    await tab.page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'hidden' });
    await ask();
    await dialog.getByRole('button', { name: 'Keep' }).click();
    await dialog.waitFor({ state: 'hidden' });
    assert.deepEqual(
      (await broker.call('/clients')).map(({ name }) => name),
      ['Phone'],
    );
    assert.deepEqual(await phone.evaluate(() => states), []);

    await ask();
    await dialog.getByRole('button', { name: 'Disconnect' }).click();
    await tab.notices.getByText('The client is disconnected').waitFor();
    await tab.page.getByText('Nobody is connected to this node.').waitFor();
    await phone.waitForFunction(() => states.length === 1);
    assert.equal((await phone.evaluate(() => states))[0].code, 1008);
  },
  ['memory'],
);

onConsole(
  'the name of a subscriber is shown as text, whatever it contains',
  async (fixture, visit) => {
    const broker = await consoleBroker(fixture);
    const stream = await broker.stream('wall');
    const name = '<img src=x onerror=alert(1)>';
    const phone = await fixture.tab();
    await phone.evaluate(
      (url) => followSocket(url),
      stream.ws(broker, { client_name: name, tags: `<b>bold</b>,javascript:alert(1)` }),
    );
    const tab = await visit(broker, { at: '#/clients' });
    await tab.page.getByText(name).first().waitFor();
    assert.equal(await tab.main.locator('img, b').count(), 0);
    await tab.page.getByRole('link', { name: 'javascript:alert(1)' }).click();
    await tab.page.getByText('1 client of this node found').waitFor();
    await tab.button(`Disconnect ${name}`).click();
    await tab.page.getByRole('dialog').getByText(name).waitFor();
  },
  ['memory'],
);

/** The row of a subscriber, as one line. */
async function text(tab, name) {
  const cells = tab.page
    .getByRole('row')
    .filter({ has: tab.page.getByText(name, { exact: true }) })
    .locator('th, td');
  return (await cells.allTextContents()).join(' ').replace(/\s+/g, ' ').trim();
}
