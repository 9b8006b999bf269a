// The example in examples/nextjs-chat, as `next build` makes it, in Chromium. `make test-nextjs`
// installs and builds it first.

import assert from 'node:assert/strict';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { onStores, until } from '../browser/harness.mjs';
import { kill, start } from '../support/processes.mjs';

const example = fileURLToPath(new URL('../../examples/nextjs-chat', import.meta.url));

/** Starts the example, and returns its address. */
async function startExample(fixture) {
  const proxy = await fixture.proxy();
  const broker = await fixture.broker({ STREAMER_SERVER_ADDRESS: proxy.url });
  proxy.upstreams.push(broker);
  const next = path.join(example, 'node_modules/next/dist/bin/next');
  const child = start(process.execPath, [next, 'start', '-H', '127.0.0.1', '-p', '0'], {
    cwd: example,
    // It may start the server as a process of its own.
    detached: true,
    env: {
      PATH: process.env.PATH,
      NEXT_TELEMETRY_DISABLED: '1',
      STREAMER_URL: broker.url,
      STREAMER_API_KEY: broker.apiKey,
    },
  });
  fixture.atClose(() => kill(child));
  let out = '';
  for (const pipe of [child.stdout, child.stderr]) pipe.on('data', (chunk) => (out += chunk));
  return until(
    () => /Ready/.test(out) && /http:\/\/127\.0\.0\.1:\d+/.exec(out)?.[0],
    () => `the example starts: ${out}`,
  );
}

onStores(
  'the example of Next.js goes on after a reload, and stops',
  async (fixture) => {
    const url = await startExample(fixture);
    const tab = await (await fixture.context()).newPage();
    const hasText = (text) =>
      tab.waitForFunction(
        (text) => document.querySelectorAll('p')[1]?.textContent.includes(text),
        text,
      );
    await tab.goto(url);
    await tab.waitForURL('**/chat/*');
    await tab.locator('input').fill('Hello');
    await tab.getByRole('button', { name: 'Send' }).click();
    await hasText('a model that only');
    await tab.reload();
    await hasText('in lib/app.ts. 🦀');
    const [question, answer] = await tab.locator('p').allTextContents();
    assert.equal(question, 'Hello');
    assert.match(answer, /^This text comes from a model that only pretends .* 🦀$/s);
    await tab.locator('input').fill('Again');
    await tab.getByRole('button', { name: 'Send' }).click();
    await tab.waitForFunction(() =>
      document.querySelectorAll('p')[3]?.textContent.includes('only pretends'),
    );
    await tab.getByRole('button', { name: 'Stop' }).click();
    const stopped = await until(async () => {
      await tab.reload();
      const shown = await tab.locator('p').allTextContents();
      return shown.length === 4 && shown[3] !== '' && shown;
    }, 'the stopped answer is saved');
    assert.ok(answer.startsWith(stopped[3]) && stopped[3].length < answer.length);
  },
  ['memory'],
);
