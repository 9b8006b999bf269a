// Texts that need every event.

import assert from 'node:assert/strict';
import { scenario, STORES, SUBSCRIBE } from './harness.mjs';

const WORDS = Array.from({ length: 1500 }, (_, number) => `${number} `);
const tokens = (words) => words.map((data) => ({ event: 'token', data }));

/** The broker's default settings. */
const DEFAULTS = { STREAMER_MAX_EVENTS: '500' };

scenario(
  'a stream of the client library keeps all of an answer of 1,500 tokens for a reloaded page',
  { transport: SUBSCRIBE, store: STORES },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker(DEFAULTS);
    const manager = fixture.manage(client, broker);
    manager.send({ call: 'create_stream', args: { key: 'answer' } });
    await manager.until(() => manager.answers.length === 1, 'the stream');
    const { token } = manager.answers[0].value;
    await broker.add('answer', tokens(WORDS.slice(0, 611)));
    await broker.add('answer', tokens(WORDS.slice(611)));
    await broker.end('answer');
    const reader = fixture.text(client, transport, 'answer', token, broker);
    assert.deepEqual(await reader.over(), {
      type: 'text',
      text: WORDS.join(''),
      missed: null,
      status: 'ended',
    });
  },
);

scenario(
  'an incomplete text is an error unless it is allowed, and reports how much is missing',
  { transport: SUBSCRIBE, store: STORES },
  async ({ client, transport, fixture }) => {
    const broker = await fixture.broker(DEFAULTS);
    const { key, token } = await broker.stream('trimmed');
    for (let from = 0; from < WORDS.length; from += 100)
      await broker.add(key, tokens(WORDS.slice(from, from + 100)));
    await broker.end(key);
    const stored = await broker.events(key);
    const lost = WORDS.length + 2 - stored.length;
    assert.ok(lost > 0, 'the store has trimmed nothing');

    const reader = fixture.text(client, transport, key, token, broker);
    const { type, code } = await reader.over();
    assert.deepEqual([type, code], ['failed', 'missed']);
    const text = stored.filter(({ event }) => event === 'token').map(({ data }) => data);
    const other = fixture.text(client, transport, key, token, broker, { allow_missed: true });
    const whole = {
      type: 'text',
      text: text.join(''),
      missed: { count: lost, known: true },
      status: 'ended',
    };
    assert.deepEqual(await other.over(), whole);
  },
);
