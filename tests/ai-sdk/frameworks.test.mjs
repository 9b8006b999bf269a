// The handlers in Hono and in Express, over HTTP.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { test } from 'node:test';
import { serve } from '@hono/node-server';
import express from 'express';
import { Hono } from 'hono';
import { textOf } from '../support/answers.mjs';
import { makeChat } from './chat.mjs';
import { page, server } from './packages.mjs';
import { readAll, sending, startBroker, until } from './support.mjs';

/** Starts a server with the handlers, and closes it after the test. */
const apps = {
  Hono: async (handlers) => {
    const app = new Hono();
    app.post('/api/chat', (c) => handlers.POST(c.req.raw));
    app.get('/api/chat', (c) => handlers.GET(c.req.raw));
    return serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' });
  },
  Express: async (handlers) => {
    const app = express();
    app.all('/api/chat', server.toNodeHandler(handlers));
    return app.listen(0, '127.0.0.1');
  },
  'Express with a router and express.json()': async (handlers) => {
    const app = express().use(express.json());
    const router = express.Router().all('/chat', server.toNodeHandler(handlers));
    return app.use('/api', router).listen(0, '127.0.0.1');
  },
  'node:http': async (handlers) =>
    http.createServer(server.toNodeHandler(handlers)).listen(0, '127.0.0.1'),
};

for (const [name, start] of Object.entries(apps)) {
  test(`a chat in ${name}`, async (t) => {
    const { broker } = await startBroker(t);
    const chat = makeChat(broker, {
      maxBodyBytes: 100_000,
      authorize: ({ request }) =>
        request.headers.get('x-user') ?? new Response('sign in', { status: 401 }),
    });
    const app = await start(chat.handlers);
    t.after(() => {
      app.closeAllConnections();
      app.close();
    });
    if (!app.listening) await once(app, 'listening');
    const api = `http://127.0.0.1:${app.address().port}/api/chat`;
    const headers = { 'x-user': 'ann' };
    const transport = new page.BrokerChatTransport({ api, headers });
    const stream = await transport.sendMessages(sending({ words: 200, delay: 2 }));
    const replay = readAll(await transport.reconnectToStream({ chatId: 'c' }));
    assert.equal((await readAll(stream)).text, textOf(200));
    assert.equal((await replay).text, textOf(200));
    assert.equal(await transport.reconnectToStream({ chatId: 'c' }), null);
    assert.equal(chat.finished[0].subject, 'ann');

    const stopping = new AbortController();
    const options = { abortSignal: stopping.signal };
    await readAll(await transport.sendMessages(sending({ hang: true, words: 9 }, options)), () =>
      stopping.abort(),
    );
    await until(() => chat.finished.length === 2, 'the answer is stopped');
    assert.equal(chat.finished[1].status, 'stopped');

    const stranger = new page.BrokerChatTransport({ api });
    await assert.rejects(stranger.sendMessages(sending({})), /sign in/);
    const large = fetch(api, { method: 'POST', headers, body: `"${'x'.repeat(300_000)}"` });
    assert.ok(
      [400, 413].includes(
        await large.then(
          ({ status }) => status,
          () => 413,
        ),
      ),
    );
    assert.ok([404, 405].includes((await fetch(api, { method: 'DELETE', headers })).status));
  });
}
