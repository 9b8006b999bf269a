// The page that shows the API.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { onStores, PUBLIC_NAME } from './harness.mjs';

onStores(
  'the API page lists the operations and loads nothing from elsewhere',
  async (fixture) => {
    const broker = await fixture.broker();
    // On 127.0.0.1 such pages leave out their requests to other hosts.
    for (const host of ['127.0.0.1', PUBLIC_NAME]) {
      const origin = `http://${host}:${broker.port}`;
      const page = await (await fixture.context()).newPage();
      const [elsewhere, problems] = [[], []];
      page.on('request', (request) => {
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
      await page.waitForLoadState('networkidle');
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
