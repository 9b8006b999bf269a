// What the browser tests use: a real broker, Redis, a proxy that cuts connections, a site for the
// pages, and browsers.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pickByName } from '../support/pick.mjs';
import { DEADLINE } from '../support/processes.mjs';
import { RecordingProxy } from '../support/proxy.mjs';
import { Fixture as ProcessFixture } from '../support/fixture.mjs';
import { newProfile as newChromiumProfile } from './chromium.mjs';
import { newProfile as newFirefoxProfile } from './firefox.mjs';

export { numberOf, range } from '../support/ids.mjs';
export { DEADLINE, until } from '../support/processes.mjs';
export { PUBLIC_NAME } from './chromium.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const newProfile = { chromium: newChromiumProfile, firefox: newFirefoxProfile };

/**
 * Longer than any retry delay that the broker sends to a browser, in milliseconds. A browser that
 * has not connected by then does not do so later.
 */
export const LONG_ENOUGH_TO_RECONNECT = 3_500;

/**
 * Whether to run Chromium over each of a test's stores. Otherwise it runs over one of them: pages
 * do not see the store, and the broker's own tests have both.
 */
const ALL = process.env.BROWSER_STORES === 'all';

/**
 * Runs a test in Chromium over one of the stores, or over each, in parallel, because browsers often
 * wait to reconnect.
 */
export function onStores(name, body, stores = ['memory', 'redis'], timeout = 3 * DEADLINE) {
  variants(name, body, inChromium(name, stores), timeout);
}

/**
 * The same, and in Firefox over another store. For behaviour that depends on a browser's own
 * EventSource, WebSocket or `fetch()`.
 */
export function inEachBrowser(name, body, stores = ['memory', 'redis'], timeout = 3 * DEADLINE) {
  const chromium = inChromium(name, stores);
  const store = stores.find((store) => store !== chromium[0].store) ?? stores[0];
  const firefox = { title: `over ${store}, in Firefox`, store, browser: 'firefox' };
  variants(name, body, [...chromium, firefox], timeout);
}

function inChromium(name, stores) {
  const chosen = ALL ? stores : [pickByName(stores, name)];
  return chosen.map((store) => ({ title: `over ${store}`, store, browser: 'chromium' }));
}

function variants(name, body, all, timeout) {
  describe(name, { concurrency: all.length }, () => {
    for (const { title, store, browser } of all) {
      test(title, { timeout }, async ({ signal }) => {
        const fixture = new Fixture(store, browser);
        // After a timeout nobody awaits the body. It ends when its processes and servers are
        // closed.
        signal.addEventListener('abort', () => fixture.close().catch(() => {}));
        try {
          await body(fixture);
        } finally {
          await fixture.close();
        }
      });
    }
  });
}

/** An integer from `low` to `high`, both included. */
export const random = (low, high) => low + Math.floor(Math.random() * (high - low + 1));

/** The processes, browser profiles and servers of one test. `close` ends them in reverse order. */
class Fixture extends ProcessFixture {
  #profile;
  #site;

  /** `browser` is `chromium` or `firefox`. */
  constructor(store, browser) {
    super(store);
    this.browser = browser;
  }

  proxy(...upstreams) {
    return this.listen(new BrowserProxy(upstreams));
  }

  /**
   * A tab that shows page.html, whose origin is not the broker's. The tabs of a fixture share a
   * browser profile.
   */
  async tab() {
    const tab = await (await this.context()).newPage();
    await tab.goto(await this.site());
    return tab;
  }

  /** The fixture's profile in its browser. With options, another one of Chromium that has them. */
  context(options) {
    return options ? this.#openProfile(options) : (this.#profile ??= this.#openProfile());
  }

  async #openProfile(options) {
    const profile = await newProfile[this.browser](options);
    this.atClose(() => profile.close());
    return profile;
  }

  /** The origin of the pages. */
  site() {
    return (this.#site ??= this.#openSite());
  }

  async #openSite() {
    const page = readFileSync(path.join(here, 'page.html'));
    const server = http.createServer((request, response) => {
      const found = request.url === '/';
      response
        .writeHead(found ? 200 : 404, { 'content-type': 'text/html; charset=utf-8' })
        .end(found ? page : '');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.atClose(async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    });
    return `http://127.0.0.1:${server.address().port}`;
  }
}

class BrowserProxy extends RecordingProxy {
  // When a head is cut with an orderly close, Chromium takes the part for the whole head, and gives
  // up for good.
  cutMode = (connection) => (!connection.awaiting && Math.random() < 0.5 ? 'close' : 'reset');
}

/** The stored events of a finished stream, as JSON transports send them: the last has the status. */
export const withStatus = (events, stream_status) =>
  events.map((event, n) => (n === events.length - 1 ? { ...event, stream_status } : event));
