// The chat of examples/llm-chat: its processes, and its page.

import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';
import { kill, start } from '../../support/processes.mjs';
import { examples, printed } from './programs.mjs';

/** A broker that pages reach through a proxy, and a backend. */
export async function startChat(fixture, settings = {}) {
  const proxy = await fixture.proxy();
  const broker = await fixture.broker({ STREAMER_SERVER_ADDRESS: proxy.url });
  proxy.upstreams.push(broker);
  return Object.assign(await startBackend(fixture, broker, settings), { broker, proxy });
}

export async function startBackend(fixture, broker, settings = {}) {
  const env = {
    PATH: process.env.PATH,
    TINISTREAMER_URL: broker.url,
    TINISTREAMER_API_KEY: broker.apiKey,
    PORT: '0',
    ...settings,
  };
  const child = start(process.execPath, ['server.mjs'], {
    cwd: path.join(examples, 'llm-chat'),
    env,
  });
  fixture.atClose(() => kill(child));
  const backend = { errors: '' };
  child.stderr.on('data', (chunk) => (backend.errors += chunk));
  return Object.assign(backend, { url: await printed(child, /Open (http:\S+)/) });
}

/** A tab with the chat. It records the states that it shows. */
export async function openChat(fixture, { url }, id = '') {
  const context = await fixture.context();
  const tab = await context.newPage();
  await tab.addInitScript(() => {
    window.states = [];
    const note = () => {
      const { state } = document.getElementById('state').dataset;
      if (state !== window.states.at(-1)) window.states.push(state);
    };
    const watch = () =>
      new MutationObserver(note).observe(document.getElementById('state'), {
        attributeFilter: ['data-state'],
      });
    document.addEventListener('DOMContentLoaded', watch);
  });
  await tab.goto(`${url}/${id && `#${id}`}`);
  return tab;
}

export async function ask(tab, question) {
  await tab.getByLabel('Your question').fill(question);
  await tab.keyboard.press('Enter');
}

export const shown = (tab) => tab.textContent('#answer');
export const states = (tab) => tab.evaluate(() => window.states);
export const state = (tab, name) => tab.locator(`#state[data-state="${name}"]`).waitFor();
export const grown = (tab, length) =>
  tab.waitForFunction(
    (length) => document.getElementById('answer').textContent.length >= length,
    length,
  );
export const resumed = (tab, times) => tab.getByText(`resumed ${times}×`).waitFor();
export const idOf = (tab) => new URL(tab.url()).hash.slice(1);

export async function post({ url }, route, body) {
  const response = await fetch(url + route, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

/** The status for a path that a browser would normalize. */
export async function rawStatus({ url }, file) {
  const { hostname, port } = new URL(url);
  const [response] = await once(http.get({ hostname, port, path: file }), 'response');
  response.resume();
  return response.statusCode;
}
