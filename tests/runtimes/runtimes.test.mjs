// The TypeScript client outside Node and browsers: on Deno, Bun and workerd, the runtime of
// Cloudflare's Workers.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { numberOf, range } from '../support/ids.mjs';
import { DEADLINE } from '../support/processes.mjs';
import { CuttingProxy } from '../support/proxy.mjs';
import { Scene } from '../support/scene.mjs';
import { RUNTIMES } from './runtimes.mjs';

const COUNT = 400;
const CUTS = 16;
const TRANSPORTS = ['sse', 'ws', 'ndjson', 'poll'];

const random = (low, high) => low + Math.floor(Math.random() * (high - low + 1));

describe('a program writes a stream and follows it over connections that break: each event once, in order', {
  concurrency: 3,
}, () => {
  for (const [name, run] of Object.entries(RUNTIMES)) {
    for (const publish of ['ndjson', 'websocket']) {
      // A WebSocket of workerd's takes no headers, and so no API key.
      const body = name === 'workerd' && publish === 'websocket' ? refuseWebSocket : writeAndFollow;
      test(`${name}, published over ${publish}`, { timeout: 3 * DEADLINE }, async ({ signal }) => {
        const scene = new Scene('memory');
        signal.addEventListener('abort', () => scene.close().catch(() => {}));
        try {
          await body(scene, run, publish);
        } finally {
          await scene.close();
        }
      });
    }
  }
});

async function refuseWebSocket(scene, run, publish) {
  const { url, apiKey } = await scene.broker();
  const job = {
    writeUrl: url,
    readUrl: url,
    apiKey,
    key: 'chat',
    count: 1,
    publish,
    transports: [],
  };
  await assert.rejects(run(job, scene.folder), /This platform's WebSocket can't send the API key/);
}

async function writeAndFollow(scene, run, publish) {
  const broker = await scene.broker();
  const reading = await scene.listen(new CuttingProxy([broker]));
  reading.allowance = () => (reading.cuts < CUTS ? random(200, 6_000) : Infinity);
  const writing = await scene.listen(new CuttingProxy([broker]));
  // The first connection makes the stream, and may go on to write.
  writing.requestAllowance = () => (writing.cuts < 3 ? random(1_500, 8_000) : Infinity);
  const job = {
    writeUrl: writing.url,
    readUrl: reading.url,
    apiKey: broker.apiKey,
    key: 'chat 1/ä',
    count: COUNT,
    publish,
    transports: TRANSPORTS,
  };
  const { status, length, seen } = await run(job, scene.folder);

  assert.deepEqual([status, length], ['ended', COUNT + 2]);
  const expected = ['', ...range(0, COUNT).map((n) => `${n}\n${'🦀'.repeat(n % 20)}`), ''];
  for (const transport of TRANSPORTS) {
    const { seen: events, status } = seen[transport];
    assert.equal(status, 'ended', transport);
    assert.deepEqual(
      events.map(({ id }) => numberOf(id)),
      range(0, COUNT + 2),
      transport,
    );
    assert.deepEqual(
      events.map(({ data = '' }) => data),
      expected,
      transport,
    );
  }
  // Connections that are open at the last cut have their own limits still.
  assert.ok(reading.cuts >= CUTS, 'followers were cut off');
  assert.ok(writing.cuts > 0, 'the writer was cut off');
}
