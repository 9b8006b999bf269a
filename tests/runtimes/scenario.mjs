// The program of each runtime: it writes a stream and follows it over connections that break, with
// the built TypeScript client library.

import { Client } from '../../clients/typescript/dist/index.js';
import { subscribe } from '../../clients/typescript/dist/subscribe.js';

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Writes at `writeUrl` and follows at `readUrl`, two addresses of one broker. Returns for each
 * transport what arrived, and the writer's result.
 */
export async function run({ writeUrl, readUrl, apiKey, key, count, publish, transports }) {
  const client = new Client({ url: writeUrl, apiKey });
  const { token } = await client.createStream(key, { max_events: 100_000 });
  const followed = transports.map((transport) => follow(transport, readUrl, key, token));
  await client.publish(
    key,
    async (writer) => {
      for (let n = 0; n < count; n += 1) {
        await writer.write('token', `${n}\n${'🦀'.repeat(n % 20)}`);
        // Slow enough that cuts happen while it writes.
        if (n % 10 === 9) await sleep(20);
      }
    },
    { transport: publish },
  );
  const info = await client.streamInfo(key);
  return {
    status: info.status,
    length: info.length,
    seen: Object.fromEntries(await Promise.all(followed)),
  };
}

async function follow(transport, readUrl, key, token) {
  const scheme = transport === 'ws' ? readUrl.replace('http', 'ws') : readUrl;
  const events = subscribe({
    url: `${scheme}/api/client/${transport}?key=${encodeURIComponent(key)}`,
    token,
  });
  const seen = [];
  for await (const { id, event, data } of events) seen.push({ id, event, data });
  return [transport, { seen, status: events.status }];
}
