// A running broker, and the calls of a backend.

import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { DEADLINE, kill, start, until } from './processes.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const BROKER = path.resolve(
  process.env.TINISTREAMER_BIN ?? path.join(here, '../../target/debug/tinistreamer'),
);

/** Starts a broker on a free port, in a folder without a .env or Rocket.toml. */
export async function startBroker(folder, settings) {
  const env = {
    PATH: process.env.PATH,
    ROCKET_PROFILE: 'release',
    STREAMER_PORT: '0',
    ...settings,
  };
  const child = start(BROKER, [], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  let ended;
  child.gone.then((how) => (ended = how));
  const url = await until(() => {
    if (ended)
      throw new Error(
        `${BROKER} ended at its start: ${JSON.stringify(ended)} ${ended.error ?? ''}\n${err}`,
      );
    return / listens on (http:\S+) /.exec(out)?.[1];
  }, 'the broker prints its address');
  return new Broker(child, url, settings.STREAMER_API_KEY);
}

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

  /**
   * Creates a stream. The result makes the URLs for its subscribers, at the broker or at a proxy
   * before it.
   */
  async stream(key, options = {}) {
    const access = await this.call('/stream/', { key, ...options });
    const at = (address, scheme, port, query) => {
      // The address in the response is the configured public one. Path and query are the broker's.
      const url = new URL(address);
      url.protocol = scheme;
      url.host = `127.0.0.1:${port}`;
      for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
      return url.href;
    };
    const { token } = access;
    return {
      key,
      ...access,
      sse: (server = this, more = {}) =>
        at(access.sse_url, 'http:', server.port, { token, ...more }),
      ws: (server = this, more = {}) => at(access.ws_url, 'ws:', server.port, { token, ...more }),
      /**
       * The URL without the token. Those of long polling and NDJSON differ only at the end of the
       * path.
       */
      url: (transport, server = this) =>
        transport === 'ws'
          ? at(access.ws_url, 'ws:', server.port, {})
          : at(access.sse_url.replace('/sse?', `/${transport}?`), 'http:', server.port, {}),
    };
  }

  add(key, events) {
    return this.call('/event/add', { key, events });
  }

  end(key) {
    return this.call('/stream/end', { key });
  }

  info(key) {
    return this.call(`/stream/info?key=${encodeURIComponent(key)}`);
  }

  events(key) {
    return this.call(`/stream/events?key=${encodeURIComponent(key)}`);
  }

  async connectionsInUse() {
    return (await this.call('/info')).redis.streaming_in_use;
  }

  /**
   * An NDJSON upload that stays open. `line` sends an event; `finish` returns the broker's
   * response.
   */
  upload(key) {
    const request = http.request(
      `${this.url}/api/event/add/json-stream?key=${encodeURIComponent(key)}`,
      {
        method: 'POST',
        headers: { 'X-API-KEY': this.apiKey, 'Content-Type': 'application/x-ndjson' },
      },
    );
    const answer = new Promise((resolve, reject) => {
      request.on('error', reject);
      request.on('response', async (response) => {
        let text = '';
        for await (const chunk of response.setEncoding('utf8')) text += chunk;
        if (response.statusCode === 200) resolve(JSON.parse(text));
        else reject(new Error(`the upload: ${response.statusCode} ${text}`));
      });
    });
    // `finish` reports an error. A test that fails earlier has an error of its own.
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

  kill() {
    return kill(this.child);
  }

  /** Resolves with `{ code, signal }` when the process has ended. */
  get gone() {
    return this.child.gone;
  }
}
