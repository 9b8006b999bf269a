// docs/guides/many-streams.md

import assert from 'node:assert/strict';
import { pathToFileURL } from 'node:url';
import { until } from '../support/processes.mjs';
import { blocksOf } from './blocks.mjs';
import { assertLike, linesOf } from './examples.mjs';
import { describePage, elsewhere, runs } from './harness.mjs';

const PAGE = 'guides/many-streams.md';
const KEYS = ['chat-1', 'chat-2'];

/** Creates a stream with one word, and ends it. */
async function answer(broker, key) {
  await broker.stream(key);
  await broker.add(key, [{ event: 'token', data: `from ${key}` }]);
  await broker.end(key);
}

/** Starts a program before its streams exist, and checks what it prints. */
async function printsAll(reader, start, statuses) {
  reader.address = reader.proxy.url;
  await answer(reader.broker, 'chat-1');
  const program = start({ TOKEN: await reader.tokenFor(KEYS) });
  await reader.printed(program, /chat-1 end/);
  reader.proxy.cutAll();
  assert.ok(reader.proxy.cuts > 0, 'the program is cut off');
  await answer(reader.broker, 'chat-2');
  const lines = (await program.ended()).trim().split('\n');
  for (const key of KEYS)
    assert.deepEqual(
      lines.filter((line) => line.startsWith(key)).map((line) => line.trimEnd()),
      [`${key} start`, `${key} token from ${key}`, `${key} end`],
    );
  assert.match(lines.at(-1), statuses);
}

describePage(
  PAGE,
  elsewhere('sh', 'api/tests/suite/guides.rs runs it'),
  runs('html', 'many.html shows both streams', async (reader, text) => {
    const token = await reader.tokenFor(KEYS);
    const tab = await reader.open(`${pathToFileURL(reader.save(text)).href}#${token}`);
    const shows = (lines) =>
      tab.waitForFunction(
        (lines) => [...list.children].map((it) => it.textContent).join('\n') === lines,
        lines.join('\n'),
      );
    await answer(reader.broker, 'chat-1');
    await shows(['chat-1: from chat-1']);
    await answer(reader.broker, 'chat-2');
    await shows(['chat-1: from chat-1', 'chat-2: from chat-2']);
    await tab.waitForFunction('events.readyState === EventSource.CLOSED');
  }),
  runs('js', 'many.mjs prints both streams', async (reader, text) => {
    reader.install();
    const statuses = /^Map\(2\) \{ 'chat-1' => 'ended', 'chat-2' => 'ended' \}$/;
    await printsAll(reader, (environment) => reader.node(text, [], environment), statuses);
  }),
  runs('python', 'many.py prints both streams', async (reader, text) => {
    const statuses = /^\{'chat-1': 'ended', 'chat-2': 'ended'\}$/;
    await printsAll(reader, (environment) => reader.python(text, [], environment), statuses);
  }),
  runs('json', 'the broker takes the commands, and answers them', exchange),
  elsewhere('json', 'the test of the commands compares it'),
);

/** Sends the commands of the page, and compares the answers with those of the page. */
async function exchange(reader) {
  const [commands, answers] = blocksOf(PAGE)
    .filter(({ language }) => language === 'json')
    .map(({ text }) => linesOf(text));
  const { broker } = reader;
  for (const key of ['a', 'b', 'other']) await broker.stream(key);
  const { ids } = await broker.add(
    'b',
    Array.from({ length: 9 }, () => ({ event: 'token' })),
  );
  const token = await reader.tokenFor(['a', 'b']);
  const tab = await reader.fixture.tab();
  const url = `${broker.url.replace('http', 'ws')}/api/client/ws?key=a&token=${token}`;
  await tab.evaluate((url) => followSocket(url), url);
  await tab.waitForFunction(() => seen.length > 0);
  const sent = commands.map((command) =>
    // The event of the page's `after`, which has the number 4. Without `from` all others come.
    command.after ? { ...command, after: ids[3], from: 'start' } : command,
  );
  await tab.evaluate((command) => socket.send(command), JSON.stringify(sent[0]));
  await tab.waitForFunction((id) => seen.flat().some((it) => it.id === id), ids.at(-1));
  const refused = { op: 'subscribe', key: 'other' };
  for (const command of [sent[1], refused])
    await tab.evaluate((command) => socket.send(command), JSON.stringify(command));
  const received = await until(async () => {
    const all = await tab.evaluate(() => seen.flat().filter(({ op }) => op));
    return all.length === 3 && all;
  }, 'three answers');
  assertLike(answers, [...received.slice(0, 2), { ...received[2], key: 'b' }]);
}
