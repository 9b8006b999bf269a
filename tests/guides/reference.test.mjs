// The other pages of docs/reference.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { assertLike } from './examples.mjs';
import { describePage, elsewhere, runs } from './harness.mjs';

describePage(
  'reference/cursors.md',
  elsewhere('sh', 'api/tests/suite/guides.rs runs it'),
  runs('text', 'a frame of several streams', async (reader, text) => {
    const frames = await framesOfTwo(reader, ['chat-1', 'chat-2']);
    const frame = frames.find((it) => it.startsWith('event: token'));
    // The time of the position is in the compact form.
    const masked = (it) => it.replace(/\d{13}-/, 'TIME-').replace(/~[\w-]{8,}$/m, '~POSITIONS');
    assert.equal(masked(`${frame}\n`), masked(text));
  }),
  runs('js', 'streamAndId reads what a browser stores', async (reader, text) => {
    const keys = ['chat 1/ä!', '~chat:2'];
    const frames = await framesOfTwo(reader, keys);
    const ids = frames.map((frame) => /^id: (.*)$/m.exec(frame)[1]);
    const tab = await reader.fixture.tab();
    const read = `(${text.trim()})`;
    const found = await tab.evaluate(`${JSON.stringify(ids)}.map(${read})`);
    const expected = [];
    for (const key of keys)
      expected.push(...(await reader.broker.events(key)).map(({ id }) => [key, id]));
    const pairs = found.map(({ key, id }) => [key, id]);
    assert.deepEqual(pairs.sort(), expected.sort());
  }),
);

/** The frames of two streams over one connection: `start` of each, an event, the ends. */
async function framesOfTwo(reader, keys) {
  const { broker } = reader;
  for (const key of keys) await broker.stream(key);
  const query = keys.map((key) => `key=${encodeURIComponent(key)}`).join('&');
  const token = await reader.tokenFor(keys);
  const response = await reader.request(`/client/sse?${query}`, { token });
  await broker.add(keys[1], [{ event: 'token', data: 'A' }]);
  for (const key of keys) await broker.end(key);
  const text = (await response.text()).replace(/^retry: .*\n/gm, '').replace(/^:.*\n/gm, '');
  return text.split('\n\n').filter((frame) => frame.includes('event: '));
}

describePage(
  'reference/errors.md',
  runs('json', 'a write to a finished stream', async (reader, text) => {
    await reader.broker.stream('chat-1');
    await reader.broker.end('chat-1');
    const body = JSON.stringify({ key: 'chat-1', events: [{ event: 'token' }] });
    const response = await reader.request('/event/add', { method: 'POST', body });
    assertLike(JSON.parse(text), await response.json());
  }),
);

describePage(
  'reference/metrics.md',
  runs('sh', 'a node answers its metrics', async (reader, text) => {
    const metrics = await reader.shell(text);
    assert.match(metrics, /^tinistreamer_clients\{transport="sse"\} 0$/m);
    assert.match(metrics, /# EOF\n$/);
  }),
);

describePage(
  'reference/settings.md',
  runs('sh', 'keygen makes keys with which check succeeds', async (reader, text) => {
    const { url } = await reader.fixture.redis();
    assert.match(text, /redis:\/\/localhost:6379/);
    // The shell has no key: those of the file count.
    const environment = { STREAMER_API_KEY: '' };
    const out = await reader.shell(text.replace('redis://localhost:6379', url), environment);
    const file = readFileSync(path.join(reader.folder, '.env'), 'utf8');
    assert.match(file, /^STREAMER_API_KEY=[0-9a-f]+$/m);
    assert.match(file, /^STREAMER_SECRET_KEY=[0-9a-f]+$/m);
    assert.equal(out, 'The settings are good, and the redis store answers.\n');
  }),
);
