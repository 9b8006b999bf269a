// The page that shows the API.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { onStores, PUBLIC_NAME, until } from './harness.mjs';

onStores(
  'the API page lists the operations and loads nothing from elsewhere',
  async (fixture) => {
    const broker = await fixture.broker();
    // On 127.0.0.1 such pages leave out their requests to other hosts.
    for (const host of ['127.0.0.1', PUBLIC_NAME]) {
      const origin = `http://${host}:${broker.port}`;
      const page = await (await fixture.context()).newPage();
      const [elsewhere, problems, open] = [[], [], new Set()];
      let requests = 0;
      for (const end of ['requestfinished', 'requestfailed'])
        page.on(end, (request) => open.delete(request));
      page.on('request', (request) => {
        open.add(request);
        requests += 1;
        const url = new URL(request.url());
        if (!['data:', 'blob:'].includes(url.protocol) && url.origin !== origin)
          elsewhere.push(url.href);
      });
      page.on('console', (message) => {
        if (['error', 'warning'].includes(message.type())) problems.push(message.text());
      });
      page.on('pageerror', (error) => problems.push(`${error}`));
      page.on('response', (response) => {
        if (response.status() >= 400) problems.push(`${response.status()} ${response.url()}`);
      });

      await page.goto(`${origin}/api/docs/`);
      for (const operation of [
        '/api/stream/token',
        '/api/event/add/json-stream',
        '/api/client/sse',
        '/api/client/ws',
        '/api/ready',
      ]) {
        // Zero-width spaces let long paths break.
        await page.waitForFunction(
          (path) => document.body.innerText.replaceAll('\u200b', '').includes(path),
          operation,
        );
      }
      // Not Playwright's `networkidle`, which its documentation advises against. On a busy machine
      // it once did not come, and it names no request.
      const isIdle = async () => {
        const before = requests;
        await sleep(500);
        return open.size === 0 && requests === before;
      };
      await until(isIdle, () => `the end of ${[...open].map((request) => request.url())}`);
      assert.deepEqual({ elsewhere, problems }, { elsewhere: [], problems: [] }, `on ${host}`);
      await page.close();
    }
  },
);

test('the files of Swagger UI are those of its npm package', async () => {
  const { resolve } = createRequire(import.meta.url);
  const vendored = new URL('../../api/swagger-ui/www/vendor/', import.meta.url);
  for (const name of ['swagger-ui-bundle.js', 'swagger-ui.css', 'LICENSE', 'NOTICE']) {
    const kept = await readFile(new URL(name, vendored));
    assert.deepEqual(kept, await readFile(resolve(`swagger-ui-dist/${name}`)), name);
  }
});
