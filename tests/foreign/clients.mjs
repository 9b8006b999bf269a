// Libraries of other projects behind one interface. `follow(url, seen)` calls `seen` with each
// event, and returns `{ over, close }`. `over` resolves when the library has stopped for good. It
// does not resolve while the library tries again.

import { createRequire } from 'node:module';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';
import { fetchEventSource } from '@microsoft/fetch-event-source';
import { EventSource } from 'eventsource-4';
import { createEventSource } from 'eventsource-client';
import ReconnectingEventSource from 'reconnecting-eventsource';
import { kill, start } from '../support/processes.mjs';

const require = createRequire(import.meta.url);
const EventSource2 = require('eventsource-2');
const { EventSource: LaunchDarkly } = require('launchdarkly-eventsource');
const { EventSource: Extended } = require('extended-eventsource');

// The parts of a browser that fetch-event-source uses.
globalThis.window ??= globalThis;
globalThis.document ??= { addEventListener() {}, removeEventListener() {} };

const NAMES = ['start', 'token', 'end', 'cancel', 'missedevents'];

/** Libraries with the interface of a browser's EventSource. */
const eventSource = (create) => (url, seen) => {
  const source = create(url);
  for (const name of NAMES) {
    source.addEventListener(name, ({ type, lastEventId, data }) => {
      // LaunchDarkly's library has its own event `end`, without an id, for a closed connection.
      if (lastEventId !== undefined) seen({ event: type, id: lastEventId, data });
    });
  }
  const over = new Promise((resolve) => {
    const look = () => source.readyState === 2 && resolve();
    source.addEventListener('error', () => setTimeout(look, 0));
    source.addEventListener('closed', look);
  });
  return { over, close: () => source.close() };
};

const fetchSource = (options) => (url, seen) => {
  const stop = new AbortController();
  const over = fetchEventSource(url, {
    signal: stop.signal,
    openWhenHidden: true,
    fetch,
    onmessage: ({ event, id, data }) => event && seen({ event, id, data }),
    ...options(),
  }).catch(() => {});
  return { over, close: () => stop.abort() };
};

/** An error that ends fetch-event-source. */
class Finished extends Error {}

/**
 * As its README recommends: the application decides which responses are final. A close is not.
 */
const careful = () => ({
  onopen: async ({ status }) => {
    if (status === 204) throw new Finished();
  },
  onclose: () => {
    throw new Error('try again');
  },
  onerror: (error) => {
    if (error instanceof Finished) throw error;
  },
});

const iterated = (url, seen) => {
  const source = createEventSource({
    url,
    onMessage: ({ event, id, data }) => seen({ event, id, data }),
  });
  const over = new Promise((resolve) => {
    const timer = setInterval(() => {
      if (source.readyState !== 'closed') return;
      clearInterval(timer);
      resolve();
    }, 50);
    timer.unref();
  });
  return { over, close: () => source.close() };
};

const PYTHON = fileURLToPath(new URL('../../target/venv-foreign/bin/python', import.meta.url));
const PROGRAM = fileURLToPath(new URL('follow.py', import.meta.url));

const python = (library) => (url, seen) => {
  const child = start(PYTHON, [PROGRAM, library, url], { stdio: ['ignore', 'pipe', 'ignore'] });
  const lines = readline.createInterface({ input: child.stdout });
  lines.on('line', (line) => seen(JSON.parse(line)));
  const read = new Promise((resolve) => lines.once('close', resolve));
  return { over: Promise.all([child.gone, read]), close: () => kill(child) };
};

export const CLIENTS = {
  '`eventsource` 4': eventSource((url) => new EventSource(url)),
  '`eventsource` 2': eventSource((url) => new EventSource2(url)),
  '`eventsource-client`': iterated,
  '`extended-eventsource`': eventSource((url) => new Extended(url, { disableLogger: true })),
  '`launchdarkly-eventsource`': eventSource((url) => new LaunchDarkly(url)),
  '`reconnecting-eventsource`': eventSource(
    (url) =>
      new ReconnectingEventSource(url, { eventSourceClass: EventSource, max_retry_time: 200 }),
  ),
  '`@microsoft/fetch-event-source`': fetchSource(() => ({})),
  '`@microsoft/fetch-event-source`, `onclose` throws': fetchSource(() => ({
    onclose: careful().onclose,
  })),
  '`@microsoft/fetch-event-source`, `onopen` ends at 204, too': fetchSource(careful),
  'Python `httpx-sse`': python('httpx-sse'),
  'Python `httpx-sse`, in a loop until 204': python('httpx-sse in a loop'),
  'Python `sseclient-py`': python('sseclient-py'),
  'Python `aiohttp-sse-client`': python('aiohttp-sse-client'),
};
