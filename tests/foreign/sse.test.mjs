// Checks what the libraries of docs/guides/other-clients.md do at the end of a stream and after a
// broken connection. The table of that page must contain the same.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { numberOf, range } from '../support/ids.mjs';
import { DEADLINE, until } from '../support/processes.mjs';
import { Fixture } from '../support/fixture.mjs';
import { CLIENTS } from './clients.mjs';
import { BreakingProxy } from './proxy.mjs';

const LAST = 21;
const page = readFileSync(new URL('../../docs/guides/other-clients.md', import.meta.url), 'utf8');

/** The start of frame 10, and positions in it. */
const frame = (text) => text.indexOf('data: word 10\n');
const insideData = (text) => (frame(text) < 0 ? -1 : frame(text) + 'data: wo'.length);
const behindIdLine = (text) => {
  const id = /^data: word 10\nid: .*\n/m.exec(text);
  return id ? id.index + id[0].length : -1;
};
const behindFrame = (text) => (behindIdLine(text) < 0 ? -1 : behindIdLine(text) + 1);

/** Texts that some libraries change. */
const TEXTS = {
  'leading spaces': '  two spaces',
  'line feeds at the end': 'a line\n\n',
  'U+2028': 'one\u2028two',
  'U+0085': 'one\u0085two',
};

describe('foreign libraries for server-sent events', { concurrency: 4 }, () => {
  let fixture, broker, stream;
  before(async () => {
    fixture = new Fixture('memory');
    broker = await fixture.broker();
    stream = await broker.stream('chat');
    const texts = Object.values(TEXTS);
    await broker.add(
      stream.key,
      range(1, LAST).map((n) => ({ event: 'token', data: texts[n - 1] ?? `word ${n}` })),
    );
    await broker.end(stream.key);
  });
  after(() => fixture.close());

  for (const [name, follow] of Object.entries(CLIENTS)) {
    test(name, { timeout: 3 * DEADLINE }, async () => {
      const whole = await run(broker, stream, follow);
      assert.deepEqual(whole.numbers, range(0, LAST + 1), 'without a break it receives all events');
      const changed = Object.entries(TEXTS).filter(
        ([, text], n) => whole.events[n + 1].data !== text,
      );
      const found = [
        whole.loops ? 'asks again for ever' : 'stops',
        outcome(await run(broker, stream, follow, insideData)),
        outcome(await run(broker, stream, follow, behindIdLine)),
        outcome(await run(broker, stream, follow, behindFrame, { orderly: true })),
        changed.length > 0 ? `changes ${changed.map(([what]) => what).join(', ')}` : 'keeps all',
      ];
      const row = page.split('\n').find((line) => line.startsWith(`| ${name} |`));
      assert.equal(
        row,
        `| ${name} | ${found.join(' | ')} |`,
        'the table of docs/guides/other-clients.md says so',
      );
    });
  }
});

/**
 * Follows until the library stops, or until it got 204 three times. Then it counts as one that
 * requests for ever.
 */
async function run(broker, stream, follow, position, how) {
  const proxy = new BreakingProxy(broker, position, how);
  await proxy.listen();
  const events = [];
  const { over, close } = follow(stream.sse(proxy), (event) => events.push(event));
  let stopped = false;
  over.then(() => (stopped = true));
  const finals = () => proxy.statuses.filter((status) => status === 204).length;
  await until(
    () => stopped || finals() >= 3,
    () => `it stops or goes on: ${proxy.statuses}, ${events.length} events`,
  );
  const loops = !stopped;
  await close();
  await proxy.close();
  return { loops, events, numbers: events.map(({ id }) => numberOf(id)) };
}

function outcome({ numbers, events }) {
  const missing = range(0, LAST + 1).filter((number) => !numbers.includes(number));
  const twice = numbers.length - new Set(numbers).size;
  if (missing.length > 1 && missing.at(-1) === LAST) return 'stops, loses the rest';
  if (missing.length > 0) return `loses ${missing.length}`;
  if (twice > 0) return `repeats ${twice}`;
  const garbled = events.filter(
    ({ event, data }, n) =>
      event === 'token' && n > Object.keys(TEXTS).length && data !== `word ${n}`,
  );
  return garbled.length > 0 ? `garbles ${garbled.length}` : 'goes on';
}
