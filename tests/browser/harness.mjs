// What the tests stand on: the real broker and Redis as processes, a proxy that cuts, a site for the pages, and Chromium.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const here = path.dirname(fileURLToPath(import.meta.url));
const BROKER = path.resolve(process.env.TINISTREAMER_BIN ?? path.join(here, '../../target/debug/tinistreamer'));
const CHROMIUM = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';

/** A name for loopback that does not look like it: some pages behave differently on 127.0.0.1. */
export const PUBLIC_NAME = 'broker.test';

const CHROMIUM_FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Whatever a page asks for, nothing leaves this machine.
  `--host-resolver-rules=MAP ${PUBLIC_NAME} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`,
];

/** Only for waits that would otherwise never end; no test measures time. */
export const DEADLINE = 30_000;

/** Longer than any reconnection time that the broker tells a browser: what has not come back by then will not. */
export const LONG_ENOUGH_TO_RECONNECT = 3_500;

/** A test per store, side by side: most of their time is browsers waiting to reconnect. */
export function onEachStore(name, body, stores = ['memory', 'redis']) {
  describe(name, { concurrency: stores.length }, () => {
    for (const store of stores) {
      test(`over ${store}`, { timeout: 3 * DEADLINE }, async ({ signal }) => {
        const scene = new Scene(store);
        // At a timeout nobody waits for the body any more; without what it waits for it comes to its end.
        signal.addEventListener('abort', () => scene.close().catch(() => {}));
        try {
          await body(scene);
        } finally {
          await scene.close();
        }
      });
    }
  });
}

export async function until(condition, what) {
  const deadline = Date.now() + DEADLINE;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await sleep(20);
  }
}

/** The number in an event id `<milliseconds>-<number>`, which counts a stream's events from 0. */
export const numberOf = (id) => Number(/^\d+-(\d+)$/.exec(id)?.[1]);

export const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);

/** Between `low` and `high`, both possible. */
export const random = (low, high) => low + Math.floor(Math.random() * (high - low + 1));

// A test that is interrupted or crashes runs no `finally`.
const processes = new Set();
const folders = new Set();
process.on('exit', () => {
  for (const child of processes) child.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

function start(command, args, options) {
  const child = spawn(command, args, options);
  processes.add(child);
  child.gone = new Promise((resolve) => {
    child.once('error', (error) => resolve({ error }));
    child.once('exit', (code, signal) => resolve({ code, signal }));
  }).finally(() => processes.delete(child));
  return child;
}

async function kill(child) {
  child.kill('SIGKILL');
  await child.gone;
}

/** All that one test has started; `close` ends it in reverse. */
export class Scene {
  #closers = [];
  #redis;
  #browser;
  #site;
  #prefix = `browser-tests-${randomBytes(6).toString('hex')}:`;
  #apiKey = randomBytes(16).toString('hex');
  #secretKey = randomBytes(32).toString('hex');

  constructor(store) {
    this.store = store;
    this.folder = mkdtempSync(path.join(tmpdir(), 'tinistreamer-browser-'));
    folders.add(this.folder);
    this.#closers.push(() => {
      rmSync(this.folder, { recursive: true, force: true });
      folders.delete(this.folder);
    });
  }

  async close() {
    const failures = [];
    for (const close of this.#closers.splice(0).reverse()) {
      try {
        await close();
      } catch (failure) {
        failures.push(failure);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  /** Brokers of one scene are nodes of one installation: same store, same keys. */
  async broker(settings = {}) {
    const environment = {
      PATH: process.env.PATH,
      ROCKET_PROFILE: 'release',
      STREAMER_PORT: '0',
      STREAMER_API_KEY: this.#apiKey,
      STREAMER_SECRET_KEY: this.#secretKey,
      STREAMER_KEY_PREFIX: this.#prefix,
      STREAMER_REDIS_URL: this.store === 'redis' ? await (this.#redis ??= this.#startRedis()) : 'memory:',
      ...settings,
    };
    // In an empty folder, where no .env and no Rocket.toml is found.
    const child = start(BROKER, [], { cwd: this.folder, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#closers.push(() => kill(child));
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (err += chunk));
    let ended;
    child.gone.then((how) => (ended = how));
    const url = await until(() => {
      if (ended) throw new Error(`${BROKER} ended at its start: ${JSON.stringify(ended)} ${ended.error ?? ''}\n${err}`);
      return / listens on (http:\S+) /.exec(out)?.[1];
    }, 'the broker tells its address');
    return new Broker(child, url, this.#apiKey);
  }

  async #startRedis() {
    const socket = path.join(this.folder, 'redis.sock');
    const args = ['--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no', '--dir', this.folder];
    const child = start('redis-server', args, { stdio: 'ignore' });
    this.#closers.push(() => kill(child));
    await until(
      () =>
        new Promise((resolve) => {
          const probe = net.connect(socket, () => probe.end('PING\r\n'));
          probe.on('data', () => resolve(true)).on('error', () => resolve(false));
        }),
      'Redis answers',
    );
    return `unix://${socket}`;
  }

  async proxy(...upstreams) {
    const proxy = new CuttingProxy(upstreams);
    await proxy.listen();
    this.#closers.push(() => proxy.close());
    return proxy;
  }

  /** A tab that shows page.html, whose origin is not the broker's. Tabs of one scene share a browser profile. */
  async tab() {
    const context = await this.context();
    const tab = await context.newPage();
    tab.setDefaultTimeout(DEADLINE);
    await tab.goto(await this.site());
    return tab;
  }

  context() {
    return (this.#browser ??= this.#startBrowser());
  }

  /** The origin of the pages. */
  site() {
    return (this.#site ??= this.#openSite());
  }

  async #startBrowser() {
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_FLAGS });
    this.#closers.push(() => browser.close());
    return browser.newContext();
  }

  async #openSite() {
    const page = readFileSync(path.join(here, 'page.html'));
    const server = http.createServer((request, response) => {
      const found = request.url === '/';
      response.writeHead(found ? 200 : 404, { 'content-type': 'text/html; charset=utf-8' }).end(found ? page : '');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.#closers.push(() => {
      server.closeAllConnections();
      server.close();
    });
    return `http://127.0.0.1:${server.address().port}`;
  }
}

/** A running broker, and what a backend does with it. */
class Broker {
  constructor(child, url, apiKey) {
    Object.assign(this, { child, url, apiKey, port: Number(new URL(url).port) });
  }

  async call(route, body) {
    const response = await fetch(`${this.url}/api${route}`, {
      method: body ? 'POST' : 'GET',
      headers: { 'X-API-KEY': this.apiKey, 'Content-Type': 'application/json' },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(DEADLINE),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${route}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  /** Creates a stream. What it returns makes the URLs for its clients, at the broker or at a proxy before it. */
  async stream(key, options = {}) {
    const access = await this.call('/stream/', { key, ...options });
    const at = (address, scheme, port, more) => {
      // The address in the answer is the configured public one; path and query are the broker's word.
      const url = new URL(address);
      url.protocol = scheme;
      url.host = `127.0.0.1:${port}`;
      for (const [name, value] of Object.entries({ token: access.token, ...more })) url.searchParams.set(name, value);
      return url.href;
    };
    return {
      key,
      ...access,
      sse: (server = this, more = {}) => at(access.sse_url, 'http:', server.port, more),
      ws: (server = this, more = {}) => at(access.ws_url, 'ws:', server.port, more),
    };
  }

  add(key, events) {
    return this.call('/event/add', { key, events });
  }

  end(key) {
    return this.call('/stream/end', { key });
  }

  async slotsInUse() {
    return (await this.call('/info')).redis.streaming_in_use;
  }

  /** An NDJSON upload that stays open: `line` sends an event, `finish` returns the broker's answer. */
  upload(key) {
    const request = http.request(`${this.url}/api/event/add/json-stream?key=${encodeURIComponent(key)}`, {
      method: 'POST',
      headers: { 'X-API-KEY': this.apiKey, 'Content-Type': 'application/x-ndjson' },
    });
    const answer = new Promise((resolve, reject) => {
      request.on('error', reject);
      request.on('response', async (response) => {
        let text = '';
        for await (const chunk of response.setEncoding('utf8')) text += chunk;
        if (response.statusCode === 200) resolve(JSON.parse(text));
        else reject(new Error(`the upload: ${response.statusCode} ${text}`));
      });
    });
    // Reported by `finish`; a test that fails before it has its own error to tell.
    answer.catch(() => {});
    return {
      line: (event) => request.write(`${JSON.stringify(event)}\n`),
      finish: () => {
        request.end();
        return answer;
      },
    };
  }

  terminate() {
    this.child.kill('SIGTERM');
  }

  /** `{ code, signal }`, once the process is gone. */
  get gone() {
    return this.child.gone;
  }
}

/**
 * TCP between browser and broker. It notes each request, for which requests must have no bodies, and cuts connections on
 * command or, for new ones, after as many bytes of answers as `allowance` gives them.
 */
class CuttingProxy {
  requests = [];
  cuts = 0;
  refusing = false;
  allowance = () => Infinity;
  #clients = new Set();
  #connections = new Set();
  #server = net.createServer((client) => this.#accept(client));

  constructor(upstreams) {
    this.upstreams = [...upstreams];
  }

  async listen() {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    this.port = this.#server.address().port;
    this.url = `http://127.0.0.1:${this.port}`;
  }

  async close() {
    this.refusing = true;
    for (const client of this.#clients) client.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  cutAll() {
    for (const connection of [...this.#connections]) this.#cut(connection);
  }

  /** The requests for streams, without preflights. */
  get gets() {
    return this.requests.filter((request) => request.method === 'GET');
  }

  async #accept(client) {
    client.on('error', () => {});
    this.#clients.add(client);
    client.on('close', () => this.#clients.delete(client));
    if (this.refusing) return client.destroy();
    const upstream = await this.#reach();
    if (!upstream || client.destroyed) {
      upstream?.destroy();
      return client.destroy();
    }
    const connection = { client, upstream, port: upstream.remotePort, asked: '', answered: '', awaiting: null, left: this.allowance() };
    this.#connections.add(connection);
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    client.on('data', (chunk) => {
      this.#note(connection, chunk);
      upstream.write(chunk);
    });
    upstream.on('data', (chunk) => this.#answer(connection, chunk));
    client.on('close', () => {
      this.#connections.delete(connection);
      upstream.destroy();
    });
    upstream.on('error', () => {});
    // What came before the close still goes out.
    upstream.on('close', () => client.destroySoon());
  }

  /** The first node that accepts; those before it are gone for good. */
  async #reach() {
    while (this.upstreams.length > 0) {
      const [broker] = this.upstreams;
      const socket = net.connect(broker.port, '127.0.0.1');
      const reached = await new Promise((resolve) => socket.once('connect', () => resolve(true)).once('error', () => resolve(false)));
      if (reached) return socket;
      if (this.upstreams[0] === broker) this.upstreams.shift();
    }
    return null;
  }

  #note(connection, chunk) {
    connection.asked += chunk.toString('latin1');
    for (let end; (end = connection.asked.indexOf('\r\n\r\n')) >= 0; connection.asked = connection.asked.slice(end + 4)) {
      const [line, ...fields] = connection.asked.slice(0, end).split('\r\n');
      const [method, target] = line.split(' ');
      const headers = Object.fromEntries(
        fields.map((field) => [field.slice(0, field.indexOf(':')).toLowerCase(), field.slice(field.indexOf(':') + 1).trim()]),
      );
      connection.awaiting = { method, target, headers, status: null, upstream: connection.port };
      this.requests.push(connection.awaiting);
    }
  }

  #answer(connection, chunk) {
    const rest = chunk.subarray(0, connection.left);
    connection.left -= rest.length;
    if (connection.awaiting) {
      // Browsers do not pipeline, so that a request is answered before the next one comes.
      connection.answered += rest.toString('latin1');
      connection.awaiting.status ??= Number(/^HTTP\/1\.1 (\d{3})/.exec(connection.answered)?.[1]) || null;
      if (connection.answered.includes('\r\n\r\n')) {
        connection.awaiting = null;
        connection.answered = '';
      }
    }
    connection.client.write(rest);
    if (connection.left <= 0) this.#cut(connection);
  }

  /** As networks do: by a close that looks orderly, or by a reset. */
  #cut(connection) {
    const { client, upstream, awaiting } = connection;
    if (!this.#connections.delete(connection)) return;
    this.cuts += 1;
    upstream.destroy();
    // Chromium takes the beginning of a head that ends with an orderly close for all of it, and then gives up for good.
    if (!awaiting && Math.random() < 0.5) client.destroySoon();
    else client.resetAndDestroy();
  }
}
