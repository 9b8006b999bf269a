// The pages whose blocks are pictures, or are run by other tests.

import assert from 'node:assert/strict';
import { describePage, elsewhere, runs } from './harness.mjs';

const PICTURE = 'a picture';

describePage('concepts.md', elsewhere('mermaid', PICTURE, 3));

describePage(
  'architecture.md',
  elsewhere('text', 'a list of names in Redis, which no program prints'),
);

describePage('guides/ai-sdk.md', elsewhere('mermaid', PICTURE));

describePage(
  'guides/behind-a-proxy.md',
  runs('sh', 'follows a stream through a proxy', async (reader, text) => {
    const { key, token } = await reader.broker.stream('chat-1');
    await reader.broker.end(key);
    assert.match(text, /https:\/\/stream\.example\.com/);
    const commands = text.replace('https://stream.example.com', reader.proxy.url);
    assert.match(await reader.shell(commands, { TOKEN: token }), /^event: end$/m);
  }),
  elsewhere('mermaid', PICTURE),
  elsewhere('js', 'tests/proxies/x-accel-redirect.test.mjs runs it'),
  elsewhere('nginx', 'tests/proxies/x-accel-redirect.test.mjs runs it'),
);
