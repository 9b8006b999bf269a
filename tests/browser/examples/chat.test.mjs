// The chat, started as a user starts it: in two tabs, and its backend alone.

import assert from 'node:assert/strict';
import path from 'node:path';
import { kill, start } from '../../support/processes.mjs';
import { range, until } from '../harness.mjs';
import {
  ask,
  grown,
  idOf,
  openChat,
  post,
  rawStatus,
  resumed,
  shown,
  startBackend,
  startChat,
  state,
  states,
} from './chat.mjs';
import { startModel, WHOLE, wordOf } from './model.mjs';
import { BROKER, examples, printed, withBroker } from './programs.mjs';

withBroker(
  'an answer survives a reload and broken connections, and both tabs show its text once',
  async (fixture) => {
    const upstream = await startModel(fixture);
    const chat = await startChat(fixture, upstream.settings);
    const tab = await openChat(fixture, chat);
    await ask(tab, 'endless');
    await grown(tab, 100);
    const id = idOf(tab);

    const before = await shown(tab);
    await tab.reload();
    await grown(tab, before.length + 50);
    assert.ok((await shown(tab)).startsWith(before));

    const [second] = await Promise.all([
      tab.context().waitForEvent('page'),
      tab.getByText('Open in a second tab').click(),
    ]);
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
      assert.match(
        await page.textContent('#facts'),
        new RegExp(`^${tokens.length} tokens · .* · last id ${events.at(-1).id}$`),
      );
    }
    const lost = ['reconnecting', 'live'];
    assert.deepEqual(await states(tab), ['connecting', 'live', ...lost, ...lost, 'done']);
  },
);

withBroker(
  'stop in one tab stops both, and the model; a tab whose token has expired gets another',
  async (fixture) => {
    const upstream = await startModel(fixture);
    const chat = await startChat(fixture, upstream.settings);
    const tab = await openChat(fixture, chat);
    await ask(tab, 'endless');
    await grown(tab, 20);
    const id = idOf(tab);
    const second = await openChat(fixture, chat, id);
    await grown(second, 20);

    let refused = false;
    await second.route('**/api/client/sse?*', (route) => {
      if (refused || route.request().method() !== 'GET') return route.continue();
      refused = true;
      return route.fulfill({
        status: 401,
        headers: { 'access-control-allow-origin': '*' },
        json: { code: 'token-expired', message: 'Expired' },
      });
    });
    const renewed = second.waitForRequest((request) =>
      request.url().endsWith(`/api/answers/${id}`),
    );
    await second.getByText('Cut my connection').click();
    await renewed;
    await resumed(second, 1);
    assert.ok(refused);

    await second.getByText('Stop', { exact: true }).click();
    await Promise.all([state(tab, 'stopped'), state(second, 'stopped')]);
    await upstream.stopped();
    const events = await chat.broker.events(`chat-${id}`);
    assert.equal(events.at(-1).event, 'cancel');
    const text = range(0, events.length - 3)
      .map(wordOf)
      .join('');
    assert.deepEqual([await shown(tab), await shown(second)], [text, text]);
    assert.equal(chat.errors, '');
  },
);

withBroker(
  "a real model's answer is shown as text, however its bytes are cut, and its failures are shown",
  async (fixture) => {
    const upstream = await startModel(fixture);
    const chat = await startChat(fixture, upstream.settings);
    const tab = await openChat(fixture, chat);

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
      await tab.waitForFunction(
        (question) => document.getElementById('question').textContent === question,
        question,
      );
      await state(tab, 'failed');
      assert.deepEqual([await shown(tab), await tab.textContent('#note')], [text, note]);
      const events = await chat.broker.events(`chat-${idOf(tab)}`);
      assert.deepEqual(
        events.filter(({ event }) => event !== 'token').map(({ event }) => event),
        ['start', 'question', 'fail'],
      );
    }
  },
);

withBroker(
  'any backend issues tokens for an answer, with which a page stops the model',
  async (fixture) => {
    const upstream = await startModel(fixture);
    const first = await startChat(fixture, upstream.settings);
    const second = await startBackend(fixture, first.broker, upstream.settings);
    for (const issuer of [first, second]) {
      const { body: answer } = await post(first, '/api/ask', { question: 'endless' });
      await until(
        async () => (await first.broker.info(`chat-${answer.id}`)).length > 5,
        'the model writes',
      );
      const opened = await (await fetch(`${issuer.url}/api/answers/${answer.id}`)).json();
      assert.equal(opened.sse_url, answer.sse_url);
      const response = await fetch(opened.sse_url, {
        headers: { Authorization: `Bearer ${opened.token}` },
      });
      const signal = opened.sse_url.replace('/sse?', '/signal?');
      const stopped = await fetch(signal, {
        method: 'POST',
        headers: { Authorization: `Bearer ${opened.token}` },
        body: JSON.stringify({ name: 'stop' }),
      });
      assert.equal(stopped.status, 200);
      assert.match(await response.text(), /event: cancel\n/);
      await upstream.stopped();
    }
    assert.equal(first.errors, '');
  },
);

withBroker(
  'the backend refuses invalid questions, unknown answers, and other files',
  async (fixture) => {
    const chat = await startChat(fixture);
    const unknown = '00000000-0000-4000-8000-000000000000';
    assert.equal((await post(chat, '/api/ask', { question: ' ' })).status, 400);
    assert.equal((await post(chat, '/api/ask', { question: 'x'.repeat(4_001) })).status, 400);
    assert.equal((await post(chat, '/api/ask', ['question'])).status, 400);
    assert.equal(
      (await fetch(`${chat.url}/api/ask`, { method: 'POST', body: '{"question": "simple"}' }))
        .status,
      415,
    );
    assert.equal((await fetch(`${chat.url}/api/answers/${unknown}`)).status, 404);
    for (const file of [
      '/../backend.mjs',
      '/%2e%2e/backend.mjs',
      '/..%2fbackend.mjs',
      '/tinistreamer/../../package.json',
      '//',
      '/api/',
    ]) {
      assert.equal(await rawStatus(chat, file), 404, file);
    }

    const tab = await openChat(fixture, chat, unknown);
    await tab.getByText('This answer is no longer stored.').waitFor();
  },
);

withBroker(
  'the start script starts a broker and the page, and an interrupt ends both',
  async (fixture) => {
    const env = {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      TINISTREAMER_BIN: BROKER,
      PORT: '0',
    };
    const child = start(process.execPath, ['start.mjs'], {
      cwd: path.join(examples, 'llm-chat'),
      env,
    });
    fixture.atClose(() => kill(child));
    const url = await printed(child, /Open (http:\S+)/);
    const tab = await openChat(fixture, { url });
    await ask(tab, 'Why is tea called tea?');
    await grown(tab, 20);
    const { sse_url } = await tab.evaluate(async () =>
      (await fetch(`/api/answers/${location.hash.slice(1)}`)).json(),
    );
    child.kill('SIGINT');
    // Over server-sent events the page asks once more whether the stream has failed. The broker may
    // be gone by then.
    await tab.locator('#state:is([data-state="failed"], [data-state="reconnecting"])').waitFor();
    assert.deepEqual(await child.gone, { code: 0, signal: null });
    await assert.rejects(fetch(sse_url), { message: 'fetch failed' });
  },
);
