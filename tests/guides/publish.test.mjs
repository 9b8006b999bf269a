// docs/guides/publish.md

import assert from 'node:assert/strict';
import { assertLike } from './examples.mjs';
import { describePage, elsewhere, framesOf, runs } from './harness.mjs';

/** The program prints a URL, at which a reader finds the whole answer. */
async function answers(reader, program, key) {
  const url = (await program.ended()).trim();
  const response = await fetch(url);
  const expected = ['start:', 'token:Hello', 'token: world', 'end:'];
  assert.deepEqual(framesOf(await response.text()), expected);
  const { status, lease_expires_at } = await reader.broker.info(key);
  assert.deepEqual({ status, lease_expires_at }, { status: 'ended', lease_expires_at: null });
}

describePage(
  'guides/publish.md',
  runs('js', 'publish.mjs writes an answer', async (reader, text) => {
    reader.install();
    await answers(reader, reader.node(text), 'chat-42');
  }),
  runs('python', 'publish.py writes an answer', async (reader, text) => {
    await answers(reader, reader.python(text), 'chat-43');
  }),
  elsewhere('sh', 'api/tests/suite/guides.rs runs it', 4),
  runs('json', 'a write to a stream that has failed', async (reader, text) => {
    await reader.broker.stream('chat-42');
    await reader.broker.call('/stream/fail', { key: 'chat-42' });
    const body = JSON.stringify({ key: 'chat-42', events: [{ event: 'token' }] });
    const response = await reader.request('/event/add', { method: 'POST', body });
    assert.equal(response.status, 404);
    assertLike(JSON.parse(text), await response.json());
  }),
);
