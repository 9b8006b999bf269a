// The backend of the browser tests, as a process: the chat, its page, and what it has saved.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import { makeChat } from './chat.mjs';
import { server } from './packages.mjs';

const { TINISTREAMER_URL, TINISTREAMER_API_KEY, PAGE, OPTIONS = '{}' } = process.env;
const chat = makeChat({ url: TINISTREAMER_URL, apiKey: TINISTREAMER_API_KEY }, JSON.parse(OPTIONS));
const handle = server.toNodeHandler(chat.handlers);
const html =
  '<!doctype html><meta charset="utf-8"><div id="root"></div><script type="module" src="/page.js"></script>';

const answers = {
  '/': () => ['text/html', html],
  '/page.js': () => ['text/javascript', readFileSync(PAGE)],
  '/messages': (query) => json(chat.saved.get(query.get('id')) ?? []),
  '/state': () => json({ calls: chat.model.calls, finished: chat.finished }),
};
const json = (value) => ['application/json', JSON.stringify(value)];

http
  .createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    if (pathname === '/api/chat') return handle(request, response);
    const answer = answers[pathname]?.(searchParams);
    if (!answer) return response.writeHead(404).end();
    response.writeHead(200, { 'Content-Type': `${answer[0]}; charset=utf-8` }).end(answer[1]);
  })
  .listen(0, '127.0.0.1', function listening() {
    console.log(`http://127.0.0.1:${this.address().port}`);
  });
