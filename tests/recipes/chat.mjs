// A short chat and its page in Chromium.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { onStores } from '../browser/harness.mjs';
import { question } from './model.mjs';
import { installed } from './package.mjs';
import { prepare } from './programs.mjs';

/** Runs tests with a chat, each with a browser and processes of its own. */
export const withChat = (chat, start) => (name, body) =>
  onStores(
    `${chat}: ${name}`,
    async (fixture) => {
      const prepared = await prepare(fixture);
      await body(Object.assign(prepared, { backend: await start(prepared) }));
    },
    ['memory'],
  );

/** A tab with the page. Its import from the CDN gets this repository's package. */
export async function openTab(fixture, hash = '') {
  const tab = await (await fixture.context()).newPage();
  await tab.route('https://esm.sh/tinistreamer/**', (route) => {
    const { pathname } = new URL(route.request().url());
    const file = pathname.slice('/tinistreamer/'.length).replace(/(\.js)?$/, '.js');
    return route.fulfill({
      contentType: 'text/javascript',
      headers: { 'Access-Control-Allow-Origin': '*' },
      body: readFileSync(path.join(installed, 'dist', file), 'utf8'),
    });
  });
  await tab.goto(`${fixture.backend.url}/${hash}`);
  return tab;
}

/** Asks, and waits until the page follows the answer. */
export async function ask(tab, script) {
  const before = new URL(tab.url()).hash;
  await tab.locator('#ask').fill(question(script));
  await tab.getByText('Ask', { exact: true }).click();
  await tab.waitForURL((url) => url.hash !== before);
}

export const hashOf = (tab) => new URL(tab.url()).hash;
export const shown = (tab) => tab.locator('#text').evaluate(({ textContent }) => textContent);
export const note = (tab) => tab.locator('#now').textContent();
export const stop = (tab) => tab.getByText('Stop', { exact: true }).click();

export const shows = (tab, text) =>
  tab.waitForFunction((text) => document.querySelector('#text')?.textContent === text, text);
export const notes = (tab, text) =>
  tab.waitForFunction((text) => document.querySelector('#now')?.textContent === text, text);
