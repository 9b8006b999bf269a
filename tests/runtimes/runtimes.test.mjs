// The TypeScript client library outside Node and browsers: on Deno, Bun and workerd, the runtime of
// Cloudflare's Workers.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { numberOf, range } from '../support/ids.mjs';
import { DEADLINE } from '../support/processes.mjs';
import { CuttingProxy } from '../support/proxy.mjs';
import { Fixture } from '../support/fixture.mjs';
import { RUNTIMES } from './runtimes.mjs';

const COUNT = 400;
const CUTS = 16;
const TRANSPORTS = ['sse', 'ws', 'ndjson', 'poll'];

const random = (low, high) => low + Math.floor(Math.random() * (high - low + 1));

describe('over connections that break each event arrives once and in order', {
  concurrency: 3,
}, () => {
  for (const [name, run] of Object.entries(RUNTIMES)) {
    for (const publish of ['ndjson', 'websocket']) {
      // The WebSocket of workerd takes no headers, and so no API key.
      const body = name === 'workerd' && publish === 'websocket' ? refuseWebSocket : writeAndFollow;
      test(`${name}, published over ${publish}`, { timeout: 3 * DEADLINE }, async ({ signal }) => {
        const fixture = new Fixture('memory');
        signal.addEventListener('abort', () => fixture.close().catch(() => {}));
        try {
          await body(fixture, run, publish);
        } finally {
          await fixture.close();
        }
      });
    }
  }
});

async function refuseWebSocket(fixture, run, publish) {
  const { url, apiKey } = await fixture.broker();
  const job = {
    writeUrl: url,
    readUrl: url,
    apiKey,
    key: 'chat',
    count: 1,
    publish,
    transports: [],
  };
  await assert.rejects(
    run(job, fixture.folder),
    /This platform's WebSocket can't send the API key/,
  );
}

async function writeAndFollow(fixture, run, publish) {
  const broker = await fixture.broker();
  const reading = await fixture.listen(new CuttingProxy([broker]));
  reading.allowance = () => (reading.cuts < CUTS ? random(200, 6_000) : Infinity);
  const writing = await fixture.listen(new CuttingProxy([broker]));
  // The first connection creates the stream, and may then be used for writing.
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
  const { status, length, seen } = await run(job, fixture.folder);

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
  // Connections that are open at the last cut still have their limits.
  assert.ok(reading.cuts >= CUTS, 'followers were cut off');
  assert.ok(writing.cuts > 0, 'the writer was cut off');
}
