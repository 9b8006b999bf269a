// Tabs that follow one stream with `tinistreamer/shared-tabs`, as it is built.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import puppeteer from 'puppeteer-core';
import { CHROMIUM } from './chromium.mjs';
import { DEADLINE, numberOf, range, until } from './harness.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const library = path.join(here, '../../clients/typescript/dist');

const PAGE = `<!doctype html>
<meta charset="utf-8" />
<link rel="icon" href="data:," />
<title>A page that shares its connection</title>
<script type="module">
  import { subscribeShared } from '/lib/shared-tabs.js';

  const state = { seen: [], log: [], states: [], accesses: 0, over: false, error: null };
  let goOn;
  const follow = async (options) => {
    // A reader that is slow waits after its first event.
    const paused = options.isSlow && new Promise((resolve) => (goOn = resolve));
    const access = () => {
      state.accesses += 1;
      return { sse_url: options.url, token: options.tokens[state.accesses - 1] };
    };
    window.events = subscribeShared({
      access,
      onLog: ({ message }) => state.log.push(message),
      onConnection: (change) => state.states.push(change.state),
      ...options,
      url: undefined,
    });
    try {
      for await (const { id, event, data } of window.events) {
        state.seen.push({ id, event, data });
        await paused;
      }
    } catch ({ code, message }) {
      state.error = { code, message };
    }
    state.over = true;
  };
  Object.assign(window, { state, follow: (options) => void follow(options), goOn: () => goOn() });
</script>`;

/** A broker, a stream and the origin of the tabs. */
export async function startShared(fixture, settings = {}) {
  const broker = await fixture.broker({ STREAMER_HEARTBEAT: '1', ...settings });
  const permissions = ['read', 'signal'];
  const stream = await broker.stream('shared', { permissions });
  return new Shared(fixture, broker, stream, await openSite(fixture));
}

class Shared {
  #added = 0;

  constructor(fixture, broker, stream, site) {
    Object.assign(this, { broker, stream, site, newTab: () => fixture.tab() });
  }

  /** Opens a tab that follows the stream. */
  async open(options = {}, server = this.broker) {
    const tab = await this.newTab();
    await tab.goto(this.site);
    await tab.waitForFunction(() => window.follow);
    const { token } = this.stream;
    const url = this.stream.url('sse', server);
    const all = { url, tokens: [token], shareTabs: 'alice', ...options };
    await tab.evaluate((options) => window.follow(options), all);
    return tab;
  }

  /** Adds events, each with the next number as its data. */
  async add(count, broker = this.broker) {
    const events = range(this.#added, this.#added + count);
    this.#added += count;
    await broker.add(
      this.stream.key,
      events.map((n) => ({ event: 'token', data: `${n}` })),
    );
  }

  /** Waits until these tabs have all events that were added. */
  async arrived(...tabs) {
    const last = this.#added;
    for (const tab of tabs)
      await until(
        async () => (await stateOf(tab)).seen.some(({ id }) => id && numberOf(id) === last),
        `event ${last}`,
      );
  }

  /** Waits until the broker has accepted these tabs, and they share one connection. */
  async shared(...tabs) {
    for (const tab of tabs) await tab.waitForFunction(() => state.states.includes('open'));
    await this.connections(1);
  }

  async connections(count) {
    await until(
      async () => (await this.broker.connectionsInUse()) === count,
      `${count} connections`,
    );
  }

  /** Ends the stream, and checks that these tabs got every event once. */
  async assertWhole(tabs, broker = this.broker) {
    await broker.end(this.stream.key);
    for (const tab of tabs) await tab.waitForFunction(() => state.over);
    for (const tab of tabs) {
      const { seen, error } = await stateOf(tab);
      assert.equal(error, null);
      assert.deepEqual(
        seen.map(({ id }) => numberOf(id)),
        range(0, this.#added + 2),
      );
      assert.deepEqual(
        seen.map(({ data }) => data),
        ['', ...range(0, this.#added).map(String), ''],
      );
      assert.equal(await tab.evaluate(() => events.status), 'ended');
    }
  }
}

/** What a tab has recorded. */
export const stateOf = (tab) => tab.evaluate(() => state);

/** Whether the tab leads, or has led. */
export const hasLed = async (tab) => (await stateOf(tab)).log.includes('This tab leads');

/**
 * Opens tabs in another Chromium, where only the newest one is visible. Playwright keeps all tabs
 * visible, and Chromium does not freeze a visible one.
 */
export async function startHiding(fixture) {
  const browser = await puppeteer.launch({
    executablePath: CHROMIUM,
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-sync'],
    timeout: DEADLINE,
    protocolTimeout: DEADLINE,
  });
  fixture.atClose(() => browser.close());
  return async () => {
    const page = await browser.newPage();
    page.setDefaultTimeout(DEADLINE);
    const { waitForFunction } = page;
    // By time, because a hidden tab draws no frames.
    page.waitForFunction = (condition) => waitForFunction.call(page, condition, { polling: 50 });
    return page;
  };
}

/** Serves the page and the modules of the library. */
async function openSite(fixture) {
  const server = http.createServer(async ({ url }, response) => {
    const name = /^\/lib((?:\/[\w-]+)+\.js)$/.exec(url)?.[1];
    if (!name && url !== '/') return response.writeHead(404).end();
    const body = name ? await readFile(path.join(library, name)) : PAGE;
    const type = name ? 'text/javascript' : 'text/html; charset=utf-8';
    response.writeHead(200, { 'content-type': type }).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  fixture.atClose(async () => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  });
  return `http://127.0.0.1:${server.address().port}/`;
}
