// The recipes that are a whole backend. Each one does the same.

import assert from 'node:assert/strict';
import path from 'node:path';
import { textOf } from './model.mjs';
import { recipes, root } from './package.mjs';
import { serve, settings, withBroker } from './programs.mjs';
import { ask, askAgain, Client, follow } from './reader.mjs';

const node = (file) => (fixture) =>
  serve(
    fixture,
    process.execPath,
    () => [file],
    (port) => ({
      cwd: recipes,
      env: { ...settings(fixture), PORT: String(port) },
    }),
  );

const axum = (fixture) =>
  serve(
    fixture,
    path.join(root, 'target/debug/recipe-axum'),
    (port) => [`127.0.0.1:${port}`],
    () => ({ env: settings(fixture) }),
  );

const backends = { 'express.mjs': node('express.mjs'), 'hono.mjs': node('hono.mjs') };
backends['axum.rs'] = axum;

for (const [name, start] of Object.entries(backends)) {
  withBroker(`${name}: an answer goes on without its page, and comes whole`, async (fixture) => {
    const backend = await start(fixture);
    const answer = await ask(backend, { words: 100, hold: 20 });
    const page = follow(answer);
    await page.hasText(textOf(20).length);
    await page.events.return();
    fixture.model.release();
    await fixture.model.until('finished');
    const again = await askAgain(backend, answer.key);
    assert.equal(again.key, answer.key);
    for (const access of [answer, again]) {
      const { text, status } = await follow(access).done;
      assert.deepEqual([text, status], [textOf(100), 'ended']);
    }
    const [{ path, authorization, stream }] = fixture.model.calls;
    assert.deepEqual(
      [path, authorization, stream],
      ['/v1/chat/completions', 'Bearer key-of-the-model', true],
    );
    assert.equal(backend.errors, '');
  });

  withBroker(`${name}: a stop ends the model, also from another page`, async (fixture) => {
    const backend = await start(fixture);
    const answer = await ask(backend, { words: 30, hang: true });
    const page = follow(answer);
    await page.hasText(textOf(30).length);
    const other = follow(await askAgain(backend, answer.key));
    await other.events.requestStop();
    await fixture.model.until('left');
    for (const { done } of [page, other]) {
      const { text, status, reason } = await done;
      assert.deepEqual([text, status, reason.reason], [textOf(30), 'cancelled', 'stop']);
    }
    assert.equal(backend.errors, '');
  });

  withBroker(`${name}: the page learns that the model failed, and no secret`, async (fixture) => {
    const backend = await start(fixture);
    const failed = { code: 'error', message: 'The producer failed' };
    for (const [script, expected] of [
      [{ words: 30, fail: true }, textOf(30)],
      [{ refuse: true }, ''],
    ]) {
      const { text, status, reason } = await follow(await ask(backend, script)).done;
      assert.deepEqual([text, status, reason], [expected, 'failed', failed]);
    }
    // The backend goes on.
    const { text } = await follow(await ask(backend, { words: 3 })).done;
    assert.equal(text, textOf(3));
  });

  withBroker(`${name}: the page learns that the backend died`, async (fixture) => {
    const backend = await start(fixture);
    const answer = await ask(backend, { words: 30, hang: true });
    const page = follow(answer);
    await page.hasText(textOf(30).length);
    const { url, apiKey } = fixture.node;
    const client = new Client({ url, apiKey });
    assert.ok((await client.streamInfo(answer.key)).lease_expires_at, 'there is a lease');
    await backend.kill();
    // Without a producer nobody renews this lease, which is shorter than 30 seconds.
    await client.renewStream(answer.key, { lease: 2 });
    const { text, status } = await page.done;
    assert.deepEqual([text, status], [textOf(30), 'abandoned']);
  });
}
