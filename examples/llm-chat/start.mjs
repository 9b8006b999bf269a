// Starts a broker that stores nothing on disk, with new keys, and the backend. Prints the page's
// address. Ctrl-C stops both.

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'tinistreamer';
import { startBackend } from './backend.mjs';
import { startBroker } from '../broker.mjs';
import { modelFromEnvironment } from './models/index.mjs';

const ending = new AbortController();
// More than once, because npm passes on the interrupt that the terminal has already sent.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => ending.abort());

let broker;
let backend;
try {
  const model = modelFromEnvironment(process.env);
  broker = await startBroker((why) => ending.abort(why));
  await ready(new Client({ url: broker.url, apiKey: broker.apiKey }), ending.signal);
  const port = Number(process.env.PORT ?? 3000);
  backend = await startBackend({
    brokerUrl: broker.url,
    apiKey: broker.apiKey,
    model: model.answer,
    port,
  });
  console.log(`\nThe model is ${model.name}. Ctrl-C ends it all.\n\n  Open ${backend.url}\n`);
  if (!ending.signal.aborted) await once(ending.signal, 'abort');
  ending.signal.throwIfAborted();
} catch (error) {
  if (error.name !== 'AbortError') {
    const taken = error.code === 'EADDRINUSE' && error.syscall === 'listen';
    console.error(
      taken ? `Port ${error.port} is taken; PORT=0 takes one that is free.` : error.message,
    );
    process.exitCode = 1;
  }
} finally {
  // Without its broker a backend can't report that its models were stopped.
  if (!broker?.ended) await backend?.close();
  await broker?.stop();
  process.exit();
}

/** Resolves when the broker responds, which may be after it was compiled. */
async function ready(client, signal) {
  for (;;) {
    try {
      await client.ready({ signal });
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (error.code !== 'unreachable') throw error;
      await sleep(100);
    }
  }
}
