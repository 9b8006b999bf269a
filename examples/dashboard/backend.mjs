import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Board } from './board.mjs';

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
};
const page = fileURLToPath(new URL('public/', import.meta.url));

/** The broker for a backend: HTTP and an API key. */
class Broker {
  constructor(url, apiKey) {
    Object.assign(this, { url, apiKey });
  }

  post(route, body) {
    return this.#call(route, { method: 'POST', body: JSON.stringify(body) });
  }

  /** One request for all events. Each is sent as it comes. */
  upload(key, events) {
    const lines = async function* () {
      for await (const event of events)
        yield new TextEncoder().encode(`${JSON.stringify(event)}\n`);
    };
    return this.#call(`/event/add/json-stream?key=${encodeURIComponent(key)}`, {
      method: 'POST',
      body: lines(),
      duplex: 'half',
    });
  }

  async info() {
    return this.#call('/info');
  }

  async #call(route, options) {
    const response = await fetch(`${this.url}/api${route}`, {
      ...options,
      headers: { 'X-API-KEY': this.apiKey },
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${response.status} ${answer.message}`);
    return answer;
  }
}

/** Writes the streams, and serves the page on loopback. `port` 0 takes any free port. */
export async function startBackend({ brokerUrl, apiKey, port }) {
  const broker = new Broker(brokerUrl, apiKey);
  // The page follows the streams at the broker itself, at its address for browsers.
  const { url: brokerForPages } = await broker.info();
  const board = new Board(broker);
  const server = createServer(async (request, response) => {
    try {
      const { pathname } = new URL(`http://backend${request.url}`);
      if (pathname === '/api/board') return answer(response, 200, await board.access());
      await serveFile(response, pathname, brokerForPages);
    } catch (error) {
      console.error(error);
      answer(response, 503, { message: 'The board is not available now' });
    }
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close: async () => {
      server.close();
      await board.close();
      server.closeAllConnections();
    },
  };
}

function answer(response, status, body) {
  response
    .writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' })
    .end(JSON.stringify(body));
}

async function serveFile(response, pathname, brokerUrl) {
  // The URL parser has removed dot segments, and the path is not decoded here. So it stays in its
  // folder.
  const file = path.join(page, pathname === '/' ? 'index.html' : pathname);
  const type = TYPES[path.extname(file)];
  const content = type && (await readFile(file).catch(() => undefined));
  if (!content) return response.writeHead(404, { 'Content-Type': 'text/plain' }).end('Not found\n');
  response
    .writeHead(200, {
      'Content-Type': type,
      'Cache-Control': 'no-cache',
      'Content-Security-Policy': `default-src 'self'; img-src data:; connect-src 'self' ${new URL(brokerUrl).origin}`,
      'X-Content-Type-Options': 'nosniff',
    })
    .end(content);
}
