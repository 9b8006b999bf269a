// A backend authorises a subscriber with its own session, and nginx takes the token from the
// backend's answer. Runs the two snippets of docs/guides/behind-a-proxy.md.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { kill, start, until } from '../support/processes.mjs';
import { Fixture } from '../support/fixture.mjs';
import { freePort, startNginx } from './nginx.mjs';

const PAGE = readFileSync(new URL('../../docs/guides/behind-a-proxy.md', import.meta.url), 'utf8');
const COOKIE = 'session=of-the-reader';
/** The backend of the page asks this module, which an application writes. */
const SESSION = `export const mayRead = (cookie, id) => cookie === '${COOKIE}' && id !== '43';`;

/** The code block of this language that contains `words`. */
function snippet(language, words) {
  const blocks = PAGE.split(`\`\`\`${language}\n`).slice(1);
  const found = blocks.map((rest) => rest.split('```')[0]).filter((code) => code.includes(words));
  assert.equal(found.length, 1, `one ${language} block with ${words}`);
  return found[0];
}

/** The text with a replacement that it must need. */
function replace(text, from, to) {
  assert.ok(text.includes(from), `${from} in the page`);
  return text.replaceAll(from, to);
}

/** Starts a broker, the backend of the page, and nginx with the configuration of the page. */
async function startAll(fixture) {
  const broker = await fixture.broker();
  const port = await freePort();
  const backend = replace(snippet('js', 'X-Accel-Redirect'), 'http://127.0.0.1:8000', broker.url);
  writeFileSync(path.join(fixture.folder, 'backend.mjs'), replace(backend, '3000', String(port)));
  writeFileSync(path.join(fixture.folder, 'session.mjs'), SESSION);
  symlinkSync(
    fileURLToPath(new URL('node_modules', import.meta.url)),
    path.join(fixture.folder, 'node_modules'),
  );
  const child = start(process.execPath, ['backend.mjs'], {
    cwd: fixture.folder,
    env: { PATH: process.env.PATH, STREAMER_API_KEY: broker.apiKey },
    stdio: 'inherit',
  });
  fixture.atClose(() => kill(child));
  const server = snippet('nginx', 'internal;');
  const proxy = await startNginx(fixture, {
    http: `upstream tinistreamer { server 127.0.0.1:${broker.port}; }
      map $http_upgrade $tinistreamer_connection { default upgrade; "" ""; }`,
    server: replace(server, 'http://127.0.0.1:3000', `http://127.0.0.1:${port}`),
  });
  await until(async () => (await request(proxy, '/')).status === 404, 'the backend answers');
  return { broker, proxy };
}

/** A request at nginx. `text` is what has come so far. */
async function request(proxy, target, headers = {}) {
  const sent = http.get(`${proxy}${target}`, { headers });
  const [response] = await once(sent, 'response');
  const seen = { status: response.statusCode, headers: response.headers, text: '', over: false };
  response.on('error', () => {});
  response.setEncoding('utf8').on('data', (chunk) => (seen.text += chunk));
  response.on('end', () => (seen.over = true));
  return Object.assign(seen, { close: () => sent.destroy() });
}

function inScene(name, body) {
  test(name, { timeout: 120_000 }, async () => {
    const fixture = new Fixture('memory', { STREAMER_ALLOWED_ORIGINS: 'https://app.example.com' });
    try {
      await body(await startAll(fixture));
    } finally {
      await fixture.close();
    }
  });
}

inScene('a session opens a stream without a token, and resumes it', async ({ broker, proxy }) => {
  await broker.stream('answer-42');
  const first = await request(proxy, '/answers/42/sse', { cookie: COOKIE });
  assert.equal(first.status, 200);
  assert.match(first.headers['content-type'], /^text\/event-stream/);
  assert.match(first.headers['cache-control'], /no-store/);
  assert.equal(first.headers['x-stream-token'], undefined, 'the token stays inside');
  const ids = [];
  for (let n = 0; n < 3; n += 1) {
    const [id] = (await broker.add('answer-42', [{ event: 'token', data: `word ${n}` }])).ids;
    await until(
      () => first.text.includes(`word ${n}`),
      () => `event ${n}; so far:\n${first.text}`,
    );
    ids.push(id);
  }
  first.close();

  const from = (id) => request(proxy, '/answers/42/sse', { cookie: COOKIE, 'last-event-id': id });
  const second = await from(ids[1]);
  await broker.end('answer-42');
  await until(() => second.over, 'the end');
  assert.match(second.text, /word 2/);
  assert.doesNotMatch(second.text, /word 1/);
  const [end] = (await broker.events('answer-42')).slice(-1);
  const last = await from(end.id);
  assert.equal(last.status, 204, 'EventSource stops');
});

inScene('a session opens a WebSocket, from an allowed origin only', async ({ broker, proxy }) => {
  await broker.stream('answer-44');
  const upgrade = (origin) =>
    http.get(`${proxy}/answers/44/ws`, {
      headers: {
        origin,
        cookie: COOKIE,
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': Buffer.from('sixteen bytes !!').toString('base64'),
      },
    });
  const [response, socket, head] = await once(upgrade('https://app.example.com'), 'upgrade');
  assert.equal(response.statusCode, 101);
  let text = head.toString('latin1');
  socket.on('data', (chunk) => (text += chunk.toString('latin1')));
  await broker.add('answer-44', [{ event: 'token', data: 'over a socket' }]);
  await until(
    () => text.includes('over a socket'),
    () => `the event; so far: ${text}`,
  );
  socket.destroy();
  const [refused] = await once(upgrade('https://elsewhere.example'), 'response');
  assert.equal(refused.statusCode, 403);
  refused.destroy();
});

inScene('nobody else gets through', async ({ broker, proxy }) => {
  await broker.stream('answer-43');
  const statuses = {
    '/answers/43/sse': 403,
    '/answers/42/signals': 404,
    '/answers/never-created/sse': 404,
    '/broker/sse?key=answer-43': 404,
    '/api/client/sse?key=answer-43': 404,
  };
  for (const [target, status] of Object.entries(statuses))
    assert.equal((await request(proxy, target, { cookie: COOKIE })).status, status, target);
  assert.equal((await request(proxy, '/answers/42/sse')).status, 403, 'without a session');
  const forged = await request(proxy, '/answers/43/sse', {
    cookie: COOKIE,
    'x-accel-redirect': '/broker/sse?key=answer-43',
    'x-stream-token': 'mine',
  });
  assert.equal(forged.status, 403, "only the backend's headers count");
});
