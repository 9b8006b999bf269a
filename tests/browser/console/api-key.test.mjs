// The API key: the console requests it and keeps it only in the tab.

import assert from 'node:assert/strict';
import { until } from '../harness.mjs';
import { consoleBroker, onConsole } from './console.mjs';

const asksForKey = (tab) => tab.page.getByRole('heading', { name: 'API key' }).waitFor();

/** All that a tab or the browser keeps beyond a page. */
const kept = ({ page }) =>
  page.evaluate(() => ({
    session: { ...sessionStorage },
    local: { ...localStorage },
    cookies: document.cookie,
  }));

onConsole('a wrong key is refused with words, and not kept', async (fixture, visit) => {
  const broker = await consoleBroker(fixture);
  const tab = await visit(broker, { apiKey: null });
  const enter = async (key) => {
    await tab.page.getByLabel('Key', { exact: true }).fill(key);
    await tab.button('Open the console').click();
  };
  await enter('wrong key ä');
  await tab.page.getByText('An API key has printable characters and no spaces').waitFor();
  tab.expect(/status of 401/);
  await enter(`${broker.apiKey}x`);
  await tab.page.getByText('The broker does not accept this key').waitFor();
  assert.deepEqual(await kept(tab), { session: {}, local: {}, cookies: '' });

  await enter(broker.apiKey);
  await tab.page.getByRole('heading', { name: 'Overview' }).waitFor();
  assert.equal(tab.urls.filter((url) => url.includes('wrong')).length, 0);
});

onConsole(
  'a valid key stays in its tab, also after a reload, and never gets into a URL',
  async (fixture, visit) => {
    const broker = await consoleBroker(fixture);
    const stream = await broker.stream('kept');
    const tab = await visit(broker);
    for (const view of ['events', 'text', 'clients', 'code'])
      await tab.openStream(stream.key, view);
    await tab.follows('live');
    await tab.show('Clients');
    for (const transport of ['sse', 'ws']) {
      await tab.pane(transport).press('Connect');
      await tab.pane(transport).is('open');
    }
    await tab.page.reload();
    await tab.follows('live');

    assert.deepEqual(await kept(tab), {
      session: { 'tinistreamer.api-key': broker.apiKey },
      local: {},
      cookies: '',
    });
    const history = await tab.page.evaluate(() => navigation.entries().map(({ url }) => url));
    assert.ok(history.length > 1 && tab.urls.some((url) => url.startsWith('ws:')));
    assert.deepEqual(
      [...history, ...tab.urls].filter((url) => url.includes(broker.apiKey)),
      [],
    );

    const second = await visit(broker, { apiKey: null });
    await asksForKey(second);
  },
);

onConsole(
  'forgetting the key leads back to the form, and closes all connections',
  async (fixture, visit) => {
    const broker = await consoleBroker(fixture);
    await broker.stream('left');
    const tab = await visit(broker);
    await tab.openStream('left', 'clients');
    await tab.pane('sse').press('Connect');
    await tab.pane('sse').is('open');
    await until(
      async () => (await broker.connectionsInUse()) === 2,
      'the page and its subscriber have a connection each',
    );
    await tab.button('Forget the API key').click();
    await asksForKey(tab);
    assert.deepEqual((await kept(tab)).session, {});
    await tab.page.reload();
    await asksForKey(tab);
    await until(async () => (await broker.connectionsInUse()) === 0, 'the connections are closed');
  },
);

onConsole('a key that is no longer good leads back to the form', async (fixture, visit) => {
  const broker = await consoleBroker(fixture);
  const tab = await visit(broker);
  tab.expect(/ERR_CONNECTION/, /ERR_EMPTY_RESPONSE/, /status of 401/);
  await broker.kill();
  const other = await consoleBroker(fixture, {
    STREAMER_PORT: `${broker.port}`,
    STREAMER_API_KEY: 'another-key-0123456789',
  });
  await asksForKey(tab);
  await tab.page.getByText('The broker no longer accepts this API key').waitFor();
  assert.deepEqual((await kept(tab)).session, {});
  await tab.signIn(other.apiKey);
  assert.equal(await tab.title.textContent(), 'Overview');
});
