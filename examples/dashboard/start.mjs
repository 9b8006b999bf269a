// Starts the backend, and prints the page's address. TINISTREAMER_URL and TINISTREAMER_API_KEY name
// the broker. Without them it starts a broker that stores nothing on disk, with new keys. Ctrl-C
// stops all processes.

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBroker } from '../broker.mjs';
import { startBackend } from './backend.mjs';

const { TINISTREAMER_URL: url, TINISTREAMER_API_KEY: apiKey, PORT = '3000' } = process.env;
const ending = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => ending.abort());

let broker;
let backend;
try {
  if (!url) {
    broker = await startBroker((why) => ending.abort(why));
    await ready(broker);
  }
  backend = await startBackend({
    brokerUrl: url ?? broker.url,
    apiKey: apiKey ?? broker?.apiKey,
    port: Number(PORT),
  });
  console.log(`\nTwenty streams are being written. Ctrl-C ends them.\n\n  Open ${backend.url}\n`);
  if (!ending.signal.aborted) await once(ending.signal, 'abort');
  ending.signal.throwIfAborted();
} catch (error) {
  if (error.name !== 'AbortError') {
    console.error(
      error.code === 'EADDRINUSE'
        ? `Port ${error.port} is taken; PORT=0 takes one that is free.`
        : error.message,
    );
    process.exitCode = 1;
  }
} finally {
  if (!broker?.ended) await backend?.close();
  await broker?.stop();
  process.exit();
}

/** Resolves when the broker responds, which may be after it was compiled. */
async function ready(broker) {
  while (!(await fetch(`${broker.url}/api/ready`).catch(() => undefined))?.ok) {
    ending.signal.throwIfAborted();
    await sleep(100);
  }
}
