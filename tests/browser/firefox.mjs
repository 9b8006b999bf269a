// The part of Firefox that the scenarios of this folder need, with the method names of Chromium's
// driver.
//
// Debian's Firefox speaks WebDriver BiDi by itself, so no driver program is needed. Playwright
// drives only a build of its own.

import { after } from 'node:test';
import puppeteer from 'puppeteer-core';
import { DEADLINE } from '../support/processes.mjs';

const FIREFOX = process.env.FIREFOX_BIN ?? '/usr/bin/firefox-esr';

/**
 * What keeps Firefox from asking for anything outside this machine: every other host goes to a port
 * that refuses.
 */
const PREFERENCES = {
  'network.proxy.type': 1,
  'network.proxy.http': '127.0.0.1',
  'network.proxy.http_port': 9,
  'network.proxy.ssl': '127.0.0.1',
  'network.proxy.ssl_port': 9,
  'network.proxy.no_proxies_on': '127.0.0.1',
};

// One Firefox for all scenarios of a file, because its start takes seconds. Each scenario has its
// own profile.
let running;
after(async () => (await running)?.close());

/** A new browser profile. `newPage` opens a tab in it. */
export async function newProfile() {
  running ??= puppeteer.launch({
    browser: 'firefox',
    executablePath: FIREFOX,
    headless: true,
    extraPrefsFirefox: PREFERENCES,
    timeout: DEADLINE,
    protocolTimeout: DEADLINE,
  });
  const context = await (await running).createBrowserContext();
  return { newPage: async () => new Tab(await context.newPage()), close: () => context.close() };
}

class Tab {
  #page;

  constructor(page) {
    page.setDefaultTimeout(DEADLINE);
    this.#page = page;
  }

  async goto(url) {
    await this.#page.goto(url);
  }

  evaluate(body, argument) {
    return this.#page.evaluate(body, argument);
  }

  async waitForFunction(condition) {
    // By time, because a tab in the background draws no frames.
    await this.#page.waitForFunction(condition, { polling: 50 });
  }

  close() {
    return this.#page.close();
  }
}
