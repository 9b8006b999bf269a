// Runs the snippets that the console offers to copy, without a change.

import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { kill, start } from '../../support/processes.mjs';
import { CuttingProxy } from '../../support/proxy.mjs';
import { until, withStatus } from '../harness.mjs';
import { consoleBroker, onConsole } from './console.mjs';

const repository = fileURLToPath(new URL('../../../', import.meta.url));
/** Where scripts/setup-tests installs the client library for Python. */
const PYTHON = path.join(repository, 'target/venv-clients/bin/python');
const KEYS = ['chat-42', `it's "quoted" $HOME $(id) \`id\` \\ ${'${x}'} ! # & ; 茶🍵`];

for (const key of KEYS) {
  onConsole(
    `the snippets for ${key} run in a shell, in a page, in Node and in Python`,
    async (fixture, visit) => {
      // The broker needs its address before it has a port.
      const proxy = await fixture.listen(new CuttingProxy([]));
      const broker = await consoleBroker(fixture, { STREAMER_SERVER_ADDRESS: proxy.url });
      proxy.upstreams.push(broker);
      await broker.stream(key);
      await broker.add(key, [{ event: 'word', data: 'one' }]);

      const tab = await visit(
        { ...broker, url: proxy.url },
        { context: { permissions: ['clipboard-read', 'clipboard-write'] } },
      );
      await tab.openStream(key);
      // Snippets contain the most frequent event name of the stream.
      await tab.rows.getByText('word').waitFor();
      await tab.show('Code');
      const copied = async (name) => {
        await tab.page.getByRole('button', { name: `Copy ${name}`, exact: true }).click();
        const shown = await tab.page.getByLabel(`${name} snippet`, { exact: true }).textContent();
        await until(
          async () => (await tab.page.evaluate(() => navigator.clipboard.readText())) === shown,
          `${name} is copied`,
        );
        return shown;
      };

      const [curl, publish, page, typescript, python] = [
        await copied('curl'),
        await copied('Publish with curl'),
        await copied('EventSource'),
        await copied('TypeScript'),
        await copied('Python'),
      ];
      const reader = await fixture.tab();
      const said = [];
      reader.on('console', (message) => said.push(message.text()));
      // As a script of the page.
      await reader.addScriptTag({ content: page });
      await until(
        async () => (await reader.textContent('body')).endsWith('one'),
        'the page has the first event',
      );

      const written = await finished(
        run(fixture, 'sh', ['-c', publish], { STREAMER_API_KEY: broker.apiKey }),
      );
      assert.equal(JSON.parse(written).num_events, 1);
      await until(
        async () => (await reader.textContent('body')).endsWith('oneHello'),
        'the page has the second event, too',
      );
      await broker.end(key);
      await until(() => said.includes('end'), 'the page learns of the end');

      const events = await broker.events(key);
      assert.deepEqual(
        events.map(({ event, data }) => [event, data]),
        [
          ['start', undefined],
          ['word', 'one'],
          ['word', 'Hello'],
          ['end', undefined],
        ],
      );
      const followed = await finished(run(fixture, 'sh', ['-c', curl]));
      assert.deepEqual(
        [...followed.matchAll(/^id: ?(.*)$/gm)].map(([, id]) => id),
        events.map(({ id }) => id),
      );

      const lines = events.map(({ id, event, data = '' }) => `${id} ${event} ${data}\n`).join('');
      // As in the project of a user who has installed the client library.
      mkdirSync(path.join(fixture.folder, 'node_modules'));
      symlinkSync(
        path.join(repository, 'clients/typescript'),
        path.join(fixture.folder, 'node_modules/tinistreamer'),
      );
      writeFileSync(path.join(fixture.folder, 'follow.mjs'), typescript);
      const logged = await finished(run(fixture, process.execPath, ['follow.mjs']));
      assert.equal(logged, lines);
      writeFileSync(path.join(fixture.folder, 'follow.py'), python);
      assert.equal(await finished(run(fixture, PYTHON, ['follow.py'])), lines);
    },
    ['memory'],
  );
}

for (const [by, wanted] of [
  ['these keys', KEYS.join('\n')],
  ['all keys that begin with', ''],
]) {
  onConsole(
    `the snippets for several streams, ${by}, run in a shell and in a page`,
    async (fixture, visit) => {
      const proxy = await fixture.listen(new CuttingProxy([]));
      const broker = await consoleBroker(fixture, { STREAMER_SERVER_ADDRESS: proxy.url });
      proxy.upstreams.push(broker);
      const prefix = wanted === '' ? 'all [of] *them* ' : '';
      const keys = KEYS.map((key) => prefix + key);
      for (const key of [...keys, 'another']) {
        await broker.stream(key);
        await broker.add(key, [{ event: 'token', data: 'one' }]);
      }
      const tab = await visit({ ...broker, url: proxy.url });
      await tab.openStream(keys[0], 'code');
      await tab.page.getByLabel('Token for').selectOption(by);
      await tab.page
        .getByLabel(wanted === '' ? 'Prefix' : 'Keys, one on each line')
        .fill(wanted || prefix);
      await tab.button('Make a token').click();
      const code = (name) => tab.page.getByLabel(`${name} snippet`, { exact: true }).textContent();
      const [ndjson, polling, page] = [
        await code('NDJSON'),
        await code('Polling'),
        await code('EventSource, several streams'),
      ];

      const reader = await fixture.tab();
      const lines = [];
      reader.on('console', (message) => lines.push(message.text()));
      await reader.addScriptTag({ content: page });
      const stored = async (key) =>
        (await broker.events(key)).map(({ id, event, data }) => ({
          key,
          id,
          event,
          data: data ?? null,
        }));
      const ids = new Map();
      for (const key of keys) ids.set(key, (await stored(key))[1].id);
      await until(
        () => keys.every((key) => lines.includes(`${key} ${ids.get(key)} one`)),
        'the page has both',
      );
      for (const key of keys) await broker.end(key);
      const last = async (key) => (await stored(key)).at(-1).id;
      for (const key of keys) {
        const line = `${key} ${await last(key)} end`;
        await until(() => lines.includes(line), 'the page learns of the end');
      }

      for (const key of keys) {
        const shown = (await finished(run(fixture, 'sh', ['-c', ndjson])))
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line));
        assert.deepEqual(
          shown.filter(([of]) => of === key),
          (await stored(key)).map(Object.values),
        );
        assert.ok(shown.every(([of]) => keys.includes(of)));
        const polled = (await finished(run(fixture, 'sh', ['-c', polling])))
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line));
        assert.deepEqual(
          polled.filter((event) => event.key === key).map((event) => ({ data: null, ...event })),
          withStatus(await stored(key), 'ended'),
        );
      }
    },
    ['memory'],
  );
}

function run(fixture, command, args, env = {}) {
  const child = start(command, args, {
    cwd: fixture.folder,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  fixture.atClose(() => kill(child));
  return child;
}

/** What a program has printed when it has ended well. */
async function finished(child) {
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  assert.deepEqual(await child.gone, { code: 0, signal: null }, err);
  return out;
}
