// Connections that are slow, or silently dead.

import { CuttingProxy } from '../../support/proxy.mjs';
import { range } from '../harness.mjs';
import { consoleBroker, onConsole } from './console.mjs';

const EVENTS = 4_000;
/** At which what has been takes longer to come than the page waits for one that brings nothing. */
const BYTES_A_SECOND = 50_000;

onConsole(
  'over a slow connection the page gets all earlier events, and goes on',
  async (fixture, visit) => {
    const broker = await consoleBroker(fixture);
    await broker.stream('long', { max_events: 2 * EVENTS });
    await broker.add(
      'long',
      range(1, EVENTS + 1).map((n) => ({ event: 'token', data: `event ${n}` })),
    );
    const tab = await visit(broker);
    const browser = await tab.page.context().newCDPSession(tab.page);
    await browser.send('Network.enable');
    const line = {
      offline: false,
      latency: 0,
      downloadThroughput: BYTES_A_SECOND,
      uploadThroughput: BYTES_A_SECOND,
    };
    await browser.send('Network.emulateNetworkConditions', line);
    await tab.openStream('long');
    await tab.page.getByText('4,001 events', { exact: true }).waitFor();
    await broker.add('long', [{ event: 'token', data: 'live' }]);
    await tab.rows.getByText('live').waitFor();
  },
  ['memory'],
);

onConsole('a line that dies without a word is found out, and replaced', async (fixture, visit) => {
  const broker = await consoleBroker(fixture);
  const proxy = await fixture.listen(new CuttingProxy([broker]));
  await broker.stream('silent');
  const tab = await visit({ ...broker, url: proxy.url });
  await tab.openStream('silent');
  await tab.follows('live');
  tab.expect(/ERR_/, /WebSocket connection to/);
  proxy.cutMode = () => 'silence';
  proxy.cutAll();
  await broker.add('silent', [{ event: 'token', data: 'unheard' }]);
  await tab.rows.getByText('unheard').waitFor();
  await tab.banner.waitFor({ state: 'detached' });
});
