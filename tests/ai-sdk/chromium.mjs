// What the browser tests share: a chat in Chromium with `useChat`, a backend in a process of its
// own, and a real broker.

import path from 'node:path';
import { build } from 'esbuild';
import { onStores, until } from '../browser/harness.mjs';
import { kill, makeFolder, start } from '../support/processes.mjs';
import { question } from '../support/answers.mjs';
import { folder, here, version } from './packages.mjs';

const PAGE = path.join(makeFolder(), 'page.js');
await build({
  entryPoints: [path.join(here, 'page.jsx')],
  nodePaths: [path.join(folder, 'node_modules')],
  outfile: PAGE,
  bundle: true,
  format: 'esm',
  jsx: 'automatic',
  define: { 'process.env.NODE_ENV': '"development"' },
});

export const inChromium = (name, body, store = 'memory') => onStores(name, body, [store]);

/** A chat. The page and the backend reach the broker through `proxy`. */
export async function startChat(fixture, options = {}, nodes = 1) {
  const proxy = await fixture.proxy();
  const brokers = [];
  for (let n = 0; n < nodes; n += 1)
    brokers.push(await fixture.broker({ STREAMER_SERVER_ADDRESS: proxy.url }));
  proxy.upstreams.push(...brokers);
  const child = start(process.execPath, [path.join(here, 'backend.mjs')], {
    env: {
      PATH: process.env.PATH,
      AI_SDK: version,
      TINISTREAMER_URL: proxy.url,
      TINISTREAMER_API_KEY: brokers[0].apiKey,
      PAGE,
      OPTIONS: JSON.stringify(options),
    },
  });
  fixture.atClose(() => kill(child));
  let [out, errors] = ['', ''];
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (errors += chunk));
  const url = await until(
    () => /http:\S+/.exec(out)?.[0],
    () => `the backend starts: ${errors}`,
  );
  const state = async () => (await fetch(`${url}/state`)).json();
  const finished = (count = 1) =>
    until(async () => {
      const { finished } = await state();
      return finished.length >= count && finished;
    }, 'the answer is finished');
  return { url, proxy, brokers, state, finished, kill: () => kill(child) };
}

/** A tab with the chat. */
export async function openTab(fixture, { url }, query = '') {
  const tab = await (await fixture.context()).newPage();
  await tab.goto(`${url}/${query}`);
  await tab.waitForFunction(() => window.chat);
  return tab;
}

export const ask = (tab, script) =>
  tab.evaluate((text) => void window.chat.sendMessage({ text }), question(script));

/** The text of the last message, as the page has it. */
export const textIn = (tab) =>
  tab.evaluate(() =>
    window.chat.messages
      .filter(({ role }) => role === 'assistant')
      .flatMap(({ parts }) => parts)
      .map(({ text = '' }) => text)
      .join(''),
  );

export const hasText = (tab, length) =>
  tab.waitForFunction(
    (length) => document.querySelector('.assistant')?.textContent.length > length,
    length,
  );

export const hasStatus = (tab, status) =>
  tab.waitForFunction((status) => document.querySelector('main').dataset.status === status, status);

export const messageText = ({ parts }) => parts.map(({ text = '' }) => text).join('');
export const roles = (tab) => tab.evaluate(() => window.chat.messages.map(({ role }) => role));

/** What makes the model write for a few seconds. */
export const LONG = { words: 200, delay: 8 };
