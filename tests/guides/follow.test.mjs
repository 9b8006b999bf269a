// docs/guides/follow.md

import assert from 'node:assert/strict';
import { pathToFileURL } from 'node:url';
import { linesOf } from './examples.mjs';
import { describePage, elsewhere, runs } from './harness.mjs';

/** The data of a `missedevents`: the numbers of both ids lie as far apart as `missed` says. */
function checkMissed(frame) {
  const [event, data, ...rest] = frame.trim().split('\n');
  assert.equal(event, 'event: missedevents');
  assert.deepEqual(rest, [], 'no id');
  const [{ after, first, missed, ...others }] = linesOf(data.replace(/^data: /, ''));
  assert.deepEqual(others, {});
  const number = (id) => Number(/^\d{13}-(\d+)$/.exec(id)[1]);
  assert.equal(number(first) - number(after) - 1, missed);
  assert.ok(missed > 0);
}

/** Cuts a program off in the middle of an answer, and checks what it prints. */
async function prints(reader, start) {
  const { key, sse_url, token } = await reader.broker.stream('chat-42');
  const program = start(`${sse_url}&token=${token}`);
  await reader.broker.add(key, [{ event: 'token', data: 'Hello' }]);
  await reader.printed(program, /^Hello$/);
  reader.proxy.cutAll();
  await reader.broker.add(key, [{ event: 'token', data: ' world' }]);
  await reader.broker.end(key);
  const last = (await reader.broker.events(key)).at(-1).id;
  const expected = `Hello world (ended, the last event is ${last})\n`;
  assert.equal(await program.ended(), expected);
  assert.equal(reader.proxy.gets.length, 2);
}

describePage(
  'guides/follow.md',
  runs('html', 'follow.html shows an answer as it comes', async (reader, text) => {
    const { key, sse_url, token } = await reader.broker.stream('chat-42');
    const page = pathToFileURL(reader.save(text)).href;
    const tab = await reader.open(`${page}#${sse_url}&token=${token}`);
    const shows = (answer) =>
      tab.waitForFunction((answer) => window.answer.textContent === answer, answer);
    await reader.broker.add(key, [{ event: 'token', data: 'Hello' }]);
    await shows('Hello');
    reader.proxy.cutAll();
    await reader.broker.add(key, [{ event: 'token', data: ' world' }]);
    await shows('Hello world');
    await reader.broker.end(key);
    await tab.waitForFunction('events.readyState === EventSource.CLOSED');
    const statuses = reader.proxy.gets.map(({ status }) => status);
    assert.deepEqual(statuses, [200, 200], 'the page closes its connection itself');
  }),
  runs('js', 'follow.mjs prints an answer, also after a cut', async (reader, text) => {
    reader.install();
    await prints(reader, (url) => reader.node(text, [url]));
  }),
  runs('python', 'follow.py prints an answer, also after a cut', async (reader, text) => {
    await prints(reader, (url) => reader.python(text, [url]));
  }),
  runs('text', 'a missedevents has the frame that the page shows', async (reader, text) => {
    const { key, token } = await reader.broker.stream('chat-1', { max_events: 10 });
    const events = Array.from({ length: 500 }, () => ({ event: 'token' }));
    const { ids } = await reader.broker.add(key, events);
    await reader.broker.end(key);
    const route = `/client/sse?key=${key}&last_event_id=${ids[3]}`;
    const response = await reader.request(route, { token });
    const [frame] = (await response.text()).replace(/^retry: .*\n/, '').split('\n\n');
    checkMissed(frame);
    checkMissed(text);
  }),
  elsewhere('sh', 'api/tests/suite/guides.rs runs it', 3),
);
