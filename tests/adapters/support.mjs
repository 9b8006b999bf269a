// Backends that answer chats over the broker.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { Client } from 'tinistreamer';
import { Fixture } from '../support/fixture.mjs';
import { kill, start, until } from '../support/processes.mjs';
import { CuttingProxy } from '../support/proxy.mjs';
import { here, writeModule } from './readme.mjs';

export { until };

/**
 * Two nodes of the broker on one Redis, and a backend at each, with the code of the README. `pages`
 * is a proxy before the first backend, and `line` one between that backend and its broker.
 */
export async function startChats(t, section) {
  const fixture = new Fixture('redis');
  t.after(() => fixture.close());
  const folder = mkdtempSync(path.join(here, 'node_modules/.readme-'));
  fixture.atClose(() => rmSync(folder, { recursive: true, force: true }));
  const route = writeModule(section, folder);
  const nodes = [await fixture.broker(), await fixture.broker()];
  const line = await fixture.listen(new CuttingProxy([nodes[0]]));
  const [first, second] = await Promise.all([
    startBackend(fixture, route, line.url, nodes[0].apiKey),
    startBackend(fixture, route, nodes[1].url, nodes[1].apiKey),
  ]);
  const pages = await fixture.listen(new CuttingProxy([{ port: Number(new URL(first.url).port) }]));
  const client = new Client({ url: nodes[1].url, apiKey: nodes[1].apiKey });
  return { client, first, second, line, pages };
}

async function startBackend(fixture, route, url, apiKey) {
  const env = { ...process.env, ROUTE: route, STREAMER_URL: url, STREAMER_API_KEY: apiKey };
  const child = start(process.execPath, [path.join(here, 'backend.mjs')], {
    cwd: here,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  fixture.atClose(() => kill(child));
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  const address = await until(() => {
    if (child.exitCode !== null) throw new Error(`The backend ended: ${err}`);
    return /^http:\S+/m.exec(out)?.[0];
  }, 'the backend prints its address');
  return {
    url: address,
    kill: () => kill(child),
    log: () => err,
    calls: async () => (await fetch(`${address}/calls`)).json(),
  };
}

/** The only call of a model. */
export async function onlyCall({ calls }) {
  const all = await calls();
  assert.equal(all.length, 1);
  return all[0];
}

/** Compares texts byte for byte. Says where they differ, and not all of them. */
export function assertText(actual, expected) {
  if (actual === expected) return;
  const at = [...actual].findIndex((character, n) => character !== [...expected][n]);
  const near = (text) => JSON.stringify([...text].slice(Math.max(0, at - 20), at + 20).join(''));
  const lengths = `${actual.length} and ${expected.length} code units`;
  assert.fail(`The texts of ${lengths} differ at ${at}: ${near(actual)}, not ${near(expected)}`);
}
