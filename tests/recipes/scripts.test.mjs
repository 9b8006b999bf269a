// The recipes that are a script.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { until } from '../support/processes.mjs';
import { question, textOf } from './model.mjs';
import { recipes } from './package.mjs';
import { run, settings, withBroker } from './programs.mjs';
import { Client } from './reader.mjs';

/** Starts a recipe, in the folder of the test. */
const start = (fixture, file, ...args) =>
  run(fixture, process.execPath, [path.join(recipes, file), ...args], {
    cwd: fixture.folder,
    env: settings(fixture),
  });

const clientOf = ({ node: { url, apiKey } }) => new Client({ url, apiKey });

withBroker('tool-calls.mjs: the calls of tools are events of their own', async (fixture) => {
  const out = await start(fixture, 'tool-calls.mjs', 'k').ended();
  const result = { name: 'weather', output: 'It rains in Paris' };
  const call = { name: 'weather', input: { city: 'Paris' } };
  const lines = out.split('\n').filter((line) => line && line !== 'token ');
  assert.match(lines.shift(), /^start/);
  assert.deepEqual(lines, [
    `tool-call ${JSON.stringify(call)}`,
    `tool-result ${JSON.stringify(result)}`,
    'token It rains in Paris',
    'end ',
  ]);
  assert.equal(fixture.model.calls.length, 2);
});

withBroker('stop.mjs: a page stops the model', async (fixture) => {
  const script = question({ words: 30, hang: true });
  const out = await start(fixture, 'stop.mjs', 'k', script).ended();
  assert.equal(out, `${textOf(30)} cancelled { reason: 'stop', by: 'ann' }\n`);
  assert.equal(fixture.model.calls[0].state, 'left');
});

withBroker('second-device.mjs: every device shows the same answer', async (fixture) => {
  const script = question({ words: 100, hold: 50 });
  const shows = (program, text) => until(() => program.out === text, 'a device shows the text');
  const first = start(fixture, 'second-device.mjs', 'k', script);
  await shows(first, textOf(50));
  const second = start(fixture, 'second-device.mjs', 'k');
  await shows(second, textOf(50));
  await second.kill();
  const third = start(fixture, 'second-device.mjs', 'k');
  await shows(third, textOf(50));
  const stored = await fixture.node.events('k');
  const { id } = stored.findLast(({ event }) => event === 'token');
  const resumed = start(fixture, 'second-device.mjs', 'k', '', id);
  fixture.model.release();
  for (const program of [first, third]) {
    assert.equal(await program.ended(), textOf(100));
    assert.match(program.errors, /^ended, the last event is \d+-\d+\n$/);
  }
  assert.equal(await resumed.ended(), textOf(100).slice(textOf(50).length));
  assert.equal(fixture.model.calls.length, 1);
});

/** What save-answer.mjs has saved. */
const saved = (fixture) => JSON.parse(readFileSync(path.join(fixture.folder, 'k.json'), 'utf8'));

withBroker('save-answer.mjs: an answer is saved once', async (fixture) => {
  const args = ['save-answer.mjs', 'k', question({ words: 50 })];
  const runs = [start(fixture, ...args), start(fixture, ...args)];
  for (const program of runs) await program.ended();
  const expected = { text: textOf(50), status: 'ended', reason: null };
  assert.deepEqual(saved(fixture), expected);
  const { ino } = statSync(path.join(fixture.folder, 'k.json'));
  await start(fixture, ...args).ended();
  assert.equal(statSync(path.join(fixture.folder, 'k.json')).ino, ino);
  assert.equal(fixture.model.calls.length, 1);
  assert.deepEqual(
    readdirSync(fixture.folder).filter((file) => file.startsWith('k.')),
    ['k.json'],
  );
});

withBroker('save-answer.mjs: the part of an answer that was stopped', async (fixture) => {
  const script = question({ words: 50, hang: true });
  const program = start(fixture, 'save-answer.mjs', 'k', script);
  await hasStored(fixture, 50);
  await clientOf(fixture).sendSignal('k', 'stop');
  await program.ended();
  const reason = { reason: 'stop', by: 'api-key' };
  assert.deepEqual(saved(fixture), { text: textOf(50), status: 'cancelled', reason });
});

withBroker('save-answer.mjs: the part of an answer whose model failed', async (fixture) => {
  await start(fixture, 'save-answer.mjs', 'k', question({ words: 50, fail: true })).ended();
  const reason = { code: 'error', message: 'The producer failed' };
  assert.deepEqual(saved(fixture), { text: textOf(50), status: 'failed', reason });
});

withBroker('save-answer.mjs: the part that a run that was killed has left', async (fixture) => {
  const args = ['save-answer.mjs', 'k', question({ words: 50, hang: true })];
  const killed = start(fixture, ...args);
  await hasStored(fixture, 50);
  await killed.kill();
  assert.throws(() => saved(fixture), { code: 'ENOENT' });
  const second = start(fixture, ...args);
  await clientOf(fixture).renewStream('k', { lease: 2 });
  await second.ended();
  const { text, status } = saved(fixture);
  assert.deepEqual([text, status], [textOf(50), 'abandoned']);
  assert.equal(fixture.model.calls.length, 1);
});

/** Waits until the broker has so many words. */
const hasStored = (fixture, words) =>
  until(async () => {
    const events = await fixture.node.events('k').catch(() => []);
    const tokens = events.filter(({ event }) => event === 'token');
    return tokens.map(({ data }) => data ?? '').join('') === textOf(words);
  }, 'the words are stored');
