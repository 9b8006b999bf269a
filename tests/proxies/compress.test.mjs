// Events arrive as they are written, also through a proxy that compresses responses.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { test } from 'node:test';
import zlib from 'node:zlib';
import compression from 'compression';
import express from 'express';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { until } from '../support/processes.mjs';
import { Fixture } from '../support/fixture.mjs';
import { startNginx } from './nginx.mjs';

/** Compresses well, so that a compressor tends to wait for more. */
const DATA = 'token '.repeat(20);

/**
 * Requests a stream as browsers do, which accept compressed responses. `text` is what has come so
 * far.
 */
async function open(url, token) {
  const request = http.get(url, {
    headers: { authorization: `Bearer ${token}`, 'accept-encoding': 'gzip, deflate, br' },
  });
  const [response] = await once(request, 'response');
  const seen = {
    text: '',
    encoding: response.headers['content-encoding'],
    cacheControl: response.headers['cache-control'],
    over: false,
  };
  const decoder = {
    gzip: zlib.createGunzip,
    br: zlib.createBrotliDecompress,
    deflate: zlib.createInflate,
  }[seen.encoding];
  // The test aborts the response at its end.
  response.on('error', () => {});
  const body = decoder ? response.pipe(decoder({ flush: zlib.constants.Z_SYNC_FLUSH })) : response;
  body.on('error', () => {});
  body.setEncoding('utf8').on('data', (chunk) => (seen.text += chunk));
  body.on('end', () => (seen.over = true));
  return { seen, close: () => request.destroy() };
}

/**
 * Follows a stream at the proxy while it is written. Each event must arrive before the next one is
 * written.
 */
async function followEach(fixture, broker, proxy, transport) {
  const stream = await broker.stream(`over ${transport}`);
  const { seen, close } = await open(
    `${proxy}/api/client/${transport}?key=${encodeURIComponent(stream.key)}`,
    stream.token,
  );
  fixture.atClose(close);
  for (let n = 0; n < 5; n += 1) {
    const [id] = (await broker.add(stream.key, [{ event: 'token', data: `${n} ${DATA}` }])).ids;
    await until(
      () => seen.text.includes(id),
      () => `event ${n} over ${transport}, encoded as ${seen.encoding}; so far:\n${seen.text}`,
    );
  }
  await broker.end(stream.key);
  await until(() => seen.over, 'the end');
  return seen;
}

function inScene(name, body) {
  test(name, { timeout: 300_000 }, async () => {
    const fixture = new Fixture('memory');
    try {
      await body(fixture, await fixture.broker());
    } finally {
      await fixture.close();
    }
  });
}

async function startExpress(fixture, broker, before = (_request, _response, next) => next()) {
  const app = express();
  // As in webpack-dev-server: compression of everything, in front of the proxy. It starts with the
  // first byte.
  app.use(compression({ threshold: 0 }));
  app.use(before);
  app.use(createProxyMiddleware({ target: broker.url }));
  const server = http.createServer(app);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  fixture.atClose(async () => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  });
  return `http://127.0.0.1:${server.address().port}`;
}

inScene(
  'Express with compression and http-proxy-middleware passes on each event as it comes',
  async (fixture, broker) => {
    const proxy = await startExpress(fixture, broker);
    for (const transport of ['sse', 'ndjson']) {
      const seen = await followEach(fixture, broker, proxy, transport);
      assert.equal(seen.encoding, undefined, `${transport} is not compressed`);
      assert.match(seen.cacheControl, /\bno-transform\b/);
    }
    // A response that is not a stream is compressed, so the proxy does compress.
    const whole = await open(`${proxy}/api/openapi.json`, '');
    await until(() => whole.seen.over, 'the document');
    assert.equal(whole.seen.encoding, 'br');
  },
);

inScene('a poll that waits is not held back by it', async (fixture, broker) => {
  const proxy = await startExpress(fixture, broker);
  const stream = await broker.stream('poll');
  const [{ id }] = await broker.events('poll');
  const poll = open(`${proxy}/api/client/poll?key=poll&after=${id}&wait=60`, stream.token);
  await until(async () => (await broker.connectionsInUse()) === 1, 'the poll waits');
  await broker.add('poll', [{ event: 'token', data: DATA }]);
  const { seen } = await poll;
  await until(() => seen.over, 'the answer');
  assert.equal(JSON.parse(seen.text).events[0].data, DATA);
  assert.equal(seen.encoding, undefined);
});

inScene('without no-transform that proxy would hold the stream back', async (fixture, broker) => {
  // A check of the test itself: without the right headers the delay does happen.
  const proxy = await startExpress(fixture, broker, (_request, response, next) => {
    const { setHeader } = response;
    response.setHeader = (name, value) =>
      setHeader.call(response, name, name.toLowerCase() === 'cache-control' ? 'no-store' : value);
    next();
  });
  const stream = await broker.stream('held');
  const opened = open(`${proxy}/api/client/sse?key=held`, stream.token);
  await until(async () => (await broker.connectionsInUse()) === 1, 'the subscriber is connected');
  await broker.add('held', [{ event: 'token', data: DATA }]);
  await broker.end('held');
  const { seen } = await opened;
  await until(() => seen.over, 'the end');
  assert.ok(seen.encoding, 'it was compressed');
});

inScene(
  'nginx that compresses event streams passes on each event as it comes',
  async (fixture, broker) => {
    const proxy = await startNginx(fixture, {
      server: `gzip on; gzip_min_length 0; gzip_proxied any;
        gzip_types text/event-stream application/x-ndjson;
        location / {
          proxy_pass ${broker.url}; proxy_http_version 1.1;
          proxy_set_header Connection ""; }`,
    });
    for (const transport of ['sse', 'ndjson']) {
      const seen = await followEach(fixture, broker, proxy, transport);
      assert.equal(seen.encoding, 'gzip', 'nginx does not read no-transform');
    }
  },
);
