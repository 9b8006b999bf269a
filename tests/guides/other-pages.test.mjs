// The pages whose blocks are diagrams, or are run by other tests.

import assert from 'node:assert/strict';
import { describePage, drawn, elsewhere, runs } from './harness.mjs';

describePage('concepts.md', drawn('your backend', 'Node B', 'the producer goes silent'));

describePage(
  'architecture.md',
  elsewhere('text', 'a list of names in Redis, which no program prints'),
);

describePage(
  'guides/scripts.md',
  elsewhere('lua', 'api/tests/scripts/guide.rs runs it'),
  elsewhere('sh', 'api/tests/scripts/guide.rs runs it, with another address'),
  elsewhere('lua', 'api/tests/scripts/guide.rs runs it', 4),
);

describePage(
  'reference/script-modules.md',
  elsewhere('lua', 'api/src/script/modules/tests/documentation.rs runs it', 13),
);

describePage(
  'guides/tinysse.md',
  elsewhere('sh', 'the first command is that of another program'),
  elsewhere('sh', 'api/tests/suite/tinysse/publish.rs sends the same'),
  elsewhere('text', 'api/tests/suite/tinysse/subscribe.rs reads the same'),
  elsewhere('sh', 'api/tests/suite/tinysse/nodes.rs starts such nodes'),
);

describePage('guides/ai-sdk.md', drawn('chunks of the model'));

describePage(
  'guides/behind-a-proxy.md',
  runs('sh', 'follows a stream through a proxy', async (reader, text) => {
    const { key, token } = await reader.broker.stream('chat-1');
    await reader.broker.end(key);
    assert.match(text, /https:\/\/stream\.example\.com/);
    const commands = text.replace('https://stream.example.com', reader.proxy.url);
    assert.match(await reader.shell(commands, { TOKEN: token }), /^event: end$/m);
  }),
  drawn('with the session cookie'),
  elsewhere('js', 'tests/proxies/x-accel-redirect.test.mjs runs it'),
  elsewhere('nginx', 'tests/proxies/x-accel-redirect.test.mjs runs it'),
);
