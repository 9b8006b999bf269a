// docs/guides/when-a-producer-dies.md

import assert from 'node:assert/strict';
import { assertLike } from './examples.mjs';
import { describePage, elsewhere, runs } from './harness.mjs';

describePage(
  'guides/when-a-producer-dies.md',
  elsewhere('sh', 'api/tests/suite/guides.rs runs it', 2),
  runs('json', 'a renewal says when the lease ends', async (reader, text) => {
    await reader.broker.stream('chat-1', { lease: 30 });
    const before = Date.now();
    const answer = await reader.broker.call('/stream/renew', { key: 'chat-1' });
    assertLike(JSON.parse(text), answer);
    assert.ok(Date.parse(answer.lease_expires_at) >= before + 29_000);
  }),
);
