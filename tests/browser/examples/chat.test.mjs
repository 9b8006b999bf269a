// The examples, as somebody who tries them runs them: the chat in two tabs, its backend alone, the pages and scripts without a library.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { kill, start } from '../support/processes.mjs';
import { CuttingProxy } from '../support/proxy.mjs';
import { DEADLINE, numberOf, onEachStore, random, range, until } from './harness.mjs';

const repository = fileURLToPath(new URL('../../', import.meta.url));
const examples = path.join(repository, 'examples');
const BROKER = path.resolve(process.env.TINISTREAMER_BIN ?? path.join(repository, 'target/debug/tinistreamer'));

const withBroker = (name, body) => onEachStore(name, body, ['memory']);

withBroker('an answer survives a reload and broken connections, and both tabs show the text of its stream, once', async (scene) => {
  const upstream = await startModel(scene);
  const chat = await startChat(scene, upstream.settings);
  const tab = await openChat(scene, chat);
  await ask(tab, 'endless');
  await grown(tab, 100);
  const id = idOf(tab);

  const before = await shown(tab);
  await tab.reload();
  await grown(tab, before.length + 50);
  assert.ok((await shown(tab)).startsWith(before));

  const [second] = await Promise.all([tab.context().waitForEvent('page'), tab.getByText('Open in a second tab').click()]);
  await grown(second, before.length + 100);

  await tab.getByText('Cut my connection').click();
  await resumed(tab, 1);
  chat.proxy.cutAll();
  await Promise.all([resumed(tab, 2), resumed(second, 1)]);
  upstream.finish();
  await Promise.all([state(tab, 'done'), state(second, 'done')]);

  const events = await chat.broker.events(`chat-${id}`);
  const tokens = events.filter(({ event }) => event === 'token').map(({ data }) => data);
  assert.deepEqual(
    events.map(({ event }) => event),
    ['start', 'question', ...tokens.map(() => 'token'), 'end'],
  );
  assert.deepEqual(tokens, range(0, tokens.length).map(wordOf));
  for (const page of [tab, second]) {
    assert.equal(await shown(page), tokens.join(''));
    assert.equal(await page.textContent('#question'), 'endless');
    assert.match(await page.textContent('#facts'), new RegExp(`^${tokens.length} tokens · .* · last id ${events.at(-1).id}$`));
  }
  const lost = ['reconnecting', 'live'];
  assert.deepEqual(await states(tab), ['connecting', 'live', ...lost, ...lost, 'done']);
});

withBroker('stop in one tab stops both, and the model; a tab whose token has expired gets another', async (scene) => {
  const upstream = await startModel(scene);
  const chat = await startChat(scene, upstream.settings);
  const tab = await openChat(scene, chat);
  await ask(tab, 'endless');
  await grown(tab, 20);
  const id = idOf(tab);
  const second = await openChat(scene, chat, id);
  await grown(second, 20);

  let refused = false;
  await second.route('**/api/client/sse?*', (route) => {
    if (refused || route.request().method() !== 'GET') return route.continue();
    refused = true;
    return route.fulfill({ status: 401, headers: { 'access-control-allow-origin': '*' }, json: { code: 'token-expired', message: 'Expired' } });
  });
  const renewed = second.waitForRequest((request) => request.url().endsWith(`/api/answers/${id}`));
  await second.getByText('Cut my connection').click();
  await renewed;
  await resumed(second, 1);
  assert.ok(refused);

  await second.getByText('Stop', { exact: true }).click();
  await Promise.all([state(tab, 'stopped'), state(second, 'stopped')]);
  await upstream.letGo();
  const events = await chat.broker.events(`chat-${id}`);
  assert.equal(events.at(-1).event, 'cancel');
  const text = range(0, events.length - 3).map(wordOf).join('');
  assert.deepEqual([await shown(tab), await shown(second)], [text, text]);
  assert.equal(chat.errors, '');

  // To stop what is over is no error, and changes nothing.
  assert.deepEqual(await post(chat, `/api/answers/${id}/stop`), { status: 200, body: { status: 'cancelled' } });
});

withBroker("a real model's answer is shown as text, however its bytes are cut, and its failures are told", async (scene) => {
  const upstream = await startModel(scene);
  const chat = await startChat(scene, upstream.settings);
  const tab = await openChat(scene, chat);

  await ask(tab, 'whole');
  await state(tab, 'done');
  assert.equal(await shown(tab), WHOLE.join(''));
  assert.equal(await tab.locator('#answer img').count(), 0);
  assert.deepEqual(upstream.requests[0], {
    url: '/v1/chat/completions',
    authorization: 'Bearer key-of-the-model',
    body: { model: 'test-model', stream: true, messages: [{ role: 'user', content: 'whole' }] },
  });

  for (const [question, text, note] of [
    ['refused', '', "The model's server answered 429: Too many questions"],
    ['breaks off', 'It begins', "The model can't be reached, or its answer broke off"],
    ['ends early', 'It begins', "The model's answer broke off"],
    ['fails', 'It begins', 'The model failed: Out of memory'],
  ]) {
    await ask(tab, question);
    await tab.waitForFunction((question) => document.getElementById('question').textContent === question, question);
    await state(tab, 'stopped');
    assert.deepEqual([await shown(tab), await tab.textContent('#note')], [text, note]);
    const events = await chat.broker.events(`chat-${idOf(tab)}`);
    assert.deepEqual(
      events.filter(({ event }) => event !== 'token').map(({ event }) => event),
      ['start', 'question', 'error-note', 'cancel'],
    );
  }
});

withBroker('any backend hands out tokens for an answer and stops it, and the model is let go', async (scene) => {
  const upstream = await startModel(scene);
  const first = await startChat(scene, upstream.settings);
  const second = await startBackend(scene, first.broker, upstream.settings);
  for (const stopper of [first, second]) {
    const { body: answer } = await post(first, '/api/ask', { question: 'endless' });
    await until(async () => (await first.broker.info(`chat-${answer.id}`)).length > 5, 'the model writes');
    const opened = await (await fetch(`${second.url}/api/answers/${answer.id}`)).json();
    assert.equal(opened.sse_url, answer.sse_url);
    const response = await fetch(opened.sse_url, { headers: { Authorization: `Bearer ${opened.token}` } });
    assert.deepEqual(await post(stopper, `/api/answers/${answer.id}/stop`), { status: 200, body: { status: 'cancelled' } });
    assert.match(await response.text(), /event: cancel\n/);
    await upstream.letGo();
  }
  assert.equal(first.errors, '');
});

withBroker('the backend refuses what is no question, knows no other answers, and serves no other files', async (scene) => {
  const chat = await startChat(scene);
  const unknown = '00000000-0000-4000-8000-000000000000';
  assert.equal((await post(chat, '/api/ask', { question: ' ' })).status, 400);
  assert.equal((await post(chat, '/api/ask', { question: 'x'.repeat(4_001) })).status, 400);
  assert.equal((await post(chat, '/api/ask', ['question'])).status, 400);
  assert.equal((await fetch(`${chat.url}/api/ask`, { method: 'POST', body: '{"question": "simple"}' })).status, 415);
  assert.equal((await fetch(`${chat.url}/api/answers/${unknown}`)).status, 404);
  assert.equal((await post(chat, `/api/answers/${unknown}/stop`)).status, 404);
  for (const file of ['/../backend.mjs', '/%2e%2e/backend.mjs', '/..%2fbackend.mjs', '/tinistreamer/../../package.json', '//', '/api/']) {
    assert.equal(await rawStatus(chat, file), 404, file);
  }

  const tab = await openChat(scene, chat, unknown);
  await tab.getByText('This answer is no longer stored.').waitFor();
});

withBroker('the start script starts a broker and the page, and an interrupt ends both', async (scene) => {
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, TINISTREAMER_BIN: BROKER, PORT: '0' };
  const child = start(process.execPath, ['start.mjs'], { cwd: path.join(examples, 'llm-chat'), env });
  scene.atClose(() => kill(child));
  const url = await printed(child, /Open (http:\S+)/);
  const tab = await openChat(scene, { url });
  await ask(tab, 'Why is tea called tea?');
  await grown(tab, 20);
  const { sse_url } = await tab.evaluate(async () => (await fetch(`/api/answers/${location.hash.slice(1)}`)).json());
  child.kill('SIGINT');
  await state(tab, 'stopped');
  assert.deepEqual(await child.gone, { code: 0, signal: null });
  await assert.rejects(fetch(sse_url), { message: 'fetch failed' });
});

withBroker('the scripts and the pages without a library show each line once, over broken connections', async (scene) => {
  const proxy = await scene.listen(new CuttingProxy([]));
  const broker = await scene.broker({ STREAMER_SERVER_ADDRESS: proxy.url });
  proxy.upstreams.push(broker);
  const run = (script, server) => {
    const env = { PATH: process.env.PATH, TINISTREAMER_URL: server.url, STREAMER_API_KEY: broker.apiKey };
    const child = start(path.join(examples, 'curl', script), ['lines'], { env });
    scene.atClose(() => kill(child));
    return child;
  };
  const lines = ['one', 'two "quoted" \\ words', '\ttabbed', '', 'drei & 茶 🍵', 'six'];

  const publisher = run('publish.sh', broker);
  const addresses = await printed(publisher, /eventsource.html: (\S+)\nfor websocket.html: +(\S+)\n/, (found) => found.slice(1));
  const pages = [];
  for (const [name, address] of [
    ['eventsource.html', addresses[0]],
    ['websocket.html', addresses[1]],
  ]) {
    const page = await (await scene.context()).newPage();
    await page.goto(`file://${path.join(examples, name)}`);
    await page.fill('input', address);
    await page.click('button');
    pages.push(page);
  }
  const follower = run('follow.sh', proxy);
  let followed = '';
  follower.stdout.on('data', (chunk) => (followed += chunk));

  const text = (count) => lines.slice(0, count).map((line) => `${line}\n`).join('');
  const allShow = async (count) => {
    await until(async () => {
      const texts = await Promise.all(pages.map((page) => page.textContent('pre')));
      return texts.every((shown) => shown === text(count)) && followed.includes(`line: ${lines[count - 1]}\n`);
    }, `${count} lines everywhere`);
  };
  publisher.stdin.write(text(3));
  await allShow(3);
  proxy.cutAll();
  publisher.stdin.end(lines.slice(3).map((line) => `${line}\n`).join(''));
  await allShow(6);
  for (const page of pages) await page.waitForFunction(() => document.querySelector('output').value === 'ended');
  assert.deepEqual(await publisher.gone, { code: 0, signal: null });
  assert.deepEqual(await follower.gone, { code: 0, signal: null });
  assert.equal(followed, `start: \n${lines.map((line) => `line: ${line}\n`).join('')}end: \n`);
  assert.ok(proxy.cuts >= 3, `${proxy.cuts} cuts`);
  assert.deepEqual((await broker.events('lines')).map(({ id }) => numberOf(id)), range(0, 8));
});

for (const script of ['follow-many.sh', 'poll.sh']) {
  withBroker(`${script} prints each event of several streams once, over broken connections`, async (scene) => {
    const broker = await scene.broker();
    const proxy = await scene.listen(new CuttingProxy([broker]));
    const keys = ['build', 'chat 1/ä:,&=', `it's "quoted" $HOME \\ !`];
    for (const key of keys) await broker.stream(key, { max_events: 1_000 });
    // In heads, in lines, and between them; not of what asks for the token, which comes first.
    let connections = 0;
    proxy.allowance = () => (connections++ > 0 && proxy.cuts < 6 ? random(1, 4_000) : Infinity);
    const env = { PATH: process.env.PATH, TINISTREAMER_URL: proxy.url, STREAMER_API_KEY: broker.apiKey };
    const child = start(path.join(examples, 'curl', script), keys, { env });
    scene.atClose(() => kill(child));
    let printed = '';
    child.stdout.setEncoding('utf8').on('data', (chunk) => (printed += chunk));
    let ended;
    child.gone.then((how) => (ended = how));

    const write = async (from, to) => {
      for (const n of range(from, to)) {
        for (const key of keys) await broker.add(key, [{ event: 'line', data: `${n} \\n \n ${'茶'.repeat(random(0, 20))}` }]);
      }
    };
    for (let n = 0; proxy.cuts < 6; n += 10) {
      assert.equal(ended, undefined, printed);
      await write(n, n + 10);
      await sleep(200);
    }
    for (const key of keys) await broker.end(key);
    assert.deepEqual(await child.gone, { code: 0, signal: null });
    const events = printed.split('\n').filter(Boolean).map((line) => JSON.parse(line));
    for (const key of keys) {
      const stored = await broker.events(key);
      assert.deepEqual(
        events.filter((event) => event.key === key).map(({ key, ...event }) => event),
        stored.map(({ time, ...event }) => event),
      );
    }
  });
}

/** A broker that pages reach through a proxy, and a backend. */
async function startChat(scene, settings = {}) {
  const proxy = await scene.proxy();
  const broker = await scene.broker({ STREAMER_SERVER_ADDRESS: proxy.url });
  proxy.upstreams.push(broker);
  return Object.assign(await startBackend(scene, broker, settings), { broker, proxy });
}

async function startBackend(scene, broker, settings = {}) {
  const env = { PATH: process.env.PATH, TINISTREAMER_URL: broker.url, TINISTREAMER_API_KEY: broker.apiKey, PORT: '0', ...settings };
  const child = start(process.execPath, ['server.mjs'], { cwd: path.join(examples, 'llm-chat'), env });
  scene.atClose(() => kill(child));
  const backend = { errors: '' };
  child.stderr.on('data', (chunk) => (backend.errors += chunk));
  return Object.assign(backend, { url: await printed(child, /Open (http:\S+)/) });
}

/** What a program prints, once it matches. */
async function printed(child, pattern, pick = ([, first]) => first) {
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  let ended;
  child.gone.then((how) => (ended = how));
  return until(() => {
    const found = pattern.exec(out);
    if (ended && !found) throw new Error(`It ended: ${JSON.stringify(ended)}\n${out}\n${err}`);
    return found && pick(found);
  }, () => `${pattern} in:\n${out}\n${err}`);
}

/** A tab with the chat, which notes the states that it shows. */
async function openChat(scene, { url }, id = '') {
  const context = await scene.context();
  const tab = await context.newPage();
  tab.setDefaultTimeout(DEADLINE);
  await tab.addInitScript(() => {
    window.states = [];
    const note = () => {
      const { state } = document.getElementById('state').dataset;
      if (state !== window.states.at(-1)) window.states.push(state);
    };
    const watch = () => new MutationObserver(note).observe(document.getElementById('state'), { attributeFilter: ['data-state'] });
    document.addEventListener('DOMContentLoaded', watch);
  });
  await tab.goto(`${url}/${id && `#${id}`}`);
  return tab;
}

async function ask(tab, question) {
  await tab.getByLabel('Your question').fill(question);
  await tab.keyboard.press('Enter');
}

const shown = (tab) => tab.textContent('#answer');
const states = (tab) => tab.evaluate(() => window.states);
const state = (tab, name) => tab.locator(`#state[data-state="${name}"]`).waitFor();
const grown = (tab, length) => tab.waitForFunction((length) => document.getElementById('answer').textContent.length >= length, length);
const resumed = (tab, times) => tab.getByText(`resumed ${times}×`).waitFor();
const idOf = (tab) => new URL(tab.url()).hash.slice(1);

async function post({ url }, route, body) {
  const response = await fetch(url + route, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  return { status: response.status, body: await response.json() };
}

/** The status of a path that no browser would leave as it is. */
async function rawStatus({ url }, file) {
  const { hostname, port } = new URL(url);
  const [response] = await once(http.get({ hostname, port, path: file }), 'response');
  response.resume();
  return response.statusCode;
}

/** The tokens of an endless answer: some with characters that take two places or more, some that end paragraphs. */
const wordOf = (number) => `${number} ${number % 7 ? 'words' : '茶 👩‍👩‍👧 *так*'}${number % 10 ? ' ' : '\n\n'}`;
const WHOLE = ['Hello', ' <img src=x onerror=alert(1)>', ' **<img src=x>**', ' **茶', '** 👩‍👩‍👧', ' \u2028 end', '\n\n- item\n'];

/** A server such as OpenAI's, whose answer depends on the question. */
async function startModel(scene) {
  const requests = [];
  let open = 0;
  let finish;
  const server = http.createServer(async (request, response) => {
    open += 1;
    response.on('close', () => (open -= 1));
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += chunk;
    requests.push({ url: request.url, authorization: request.headers.authorization, body: JSON.parse(body) });
    const say = (...chunks) => response.write(chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\r\n\r\n`).join(''));
    const token = (content) => ({ choices: [{ delta: { content }, finish_reason: null }] });
    const answers = {
      whole: async () => {
        const chunks = [
          { choices: [{ delta: { role: 'assistant', content: '' } }] },
          ...WHOLE.map(token),
          { choices: [{ delta: {}, finish_reason: 'stop' }] },
          { choices: [], usage: { total_tokens: 9 } },
        ];
        const events = chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\r\n\r\n`);
        const bytes = Buffer.from(`: a comment\r\n\r\n${events.join('')}data: [DONE]\r\n\r\n`);
        // One byte at a time, so that characters and ends of lines are cut, too.
        for (const byte of bytes) await new Promise((resolve) => response.write(Buffer.of(byte), resolve));
        response.end();
      },
      refused: () => response.writeHead(429).end(JSON.stringify({ error: { message: 'Too many questions' } })),
      'breaks off': () => {
        say(token('It begins'));
        setTimeout(() => response.destroy(), 100);
      },
      'ends early': () => {
        say(token('It begins'));
        response.end();
      },
      fails: () => {
        say(token('It begins'), { error: { message: 'Out of memory' } });
        response.end();
      },
      endless: () => {
        let written = 0;
        const timer = setInterval(() => say(token(wordOf(written++))), 20);
        response.on('close', () => clearInterval(timer));
        finish = () => {
          clearInterval(timer);
          response.end('data: [DONE]\n\n');
        };
      },
    };
    await answers[requests.at(-1).body.messages[0].content]();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scene.atClose(() => {
    server.closeAllConnections();
    server.close();
  });
  const baseUrl = `http://127.0.0.1:${server.address().port}/v1`;
  return {
    requests,
    finish: () => finish(),
    letGo: () => until(() => open === 0, 'the model is let go'),
    settings: { OPENAI_BASE_URL: baseUrl, OPENAI_API_KEY: 'key-of-the-model', OPENAI_MODEL: 'test-model' },
  };
}
