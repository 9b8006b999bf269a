// Tabs that share a connection, while tabs come and go at random, messages are lost, readers are
// slow, and locks are stolen.

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { SharedSubscribeOptions } from "tinistreamer/shared-tabs";
import { Backlog } from "../src/shared-tabs/backlog.js";
import type { Step } from "../src/shared-tabs/step.js";
import { Unread } from "../src/shared-tabs/unread.js";
import { type Reader, range, startTabs } from "./tabs.js";

const STEPS = 100;

/** Every third event has another name. */
const nameOf = (number: number) => (number % 3 === 0 ? "metric" : "token");

/** Random numbers that a seed repeats. */
function startRandom(t: TestContext) {
  const seed = Date.now() % 100_000;
  t.diagnostic(`seed ${seed}`);
  let state = seed;
  const random = () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
  return { random, below: (end: number) => Math.floor(random() * end) };
}

/** Runs tabs with these options. `readers` are those that read to the end of the stream. */
async function runAtRandom(t: TestContext, options: Partial<SharedSubscribeOptions>) {
  const { channels, locks, open, add, client, connections } = await startTabs(t);
  const { random, below } = startRandom(t);
  channels.lose = () => random() < 0.05;
  const all: { reader: Reader; start: number }[] = [];
  const openOne = () => {
    const known = all.flatMap(({ reader }) => reader.seen).filter(({ id }) => id !== null);
    const after = random() < 0.5 ? known[below(known.length)]?.id : undefined;
    const reader = open({ after, ...options });
    if (random() < 0.3) reader.pace = () => new Promise((go) => setTimeout(go, below(3)));
    all.push({ reader, start: after ? Number(after.split("-")[1]) + 1 : 0 });
  };
  for (const _ of range(0, 4)) openOne();
  let total = 0;
  for (const _ of range(0, STEPS)) {
    const what = random();
    if (what < 0.6) {
      const count = 1 + below(40);
      await add(count, nameOf);
      total += count;
    } else if (what < 0.75) openOne();
    else if (what < 0.85) await all[below(all.length)]?.reader.events.return();
    else if (what < 0.95) {
      const [name] = locks.names;
      if (name) await locks.request(name, { steal: true }, async () => {});
    } else await new Promise((go) => setTimeout(go, below(100)));
  }
  channels.lose = () => false;
  openOne();
  await add(1);
  total += 1;
  const readers = all.filter(({ reader }) => !reader.over);
  for (const { reader } of readers) await reader.has(total);
  await connections(1);
  await client.endStream("k");
  for (const { reader } of readers) await reader.ends();
  for (const { reader } of all) assert.equal(reader.error, undefined);
  return { all, readers, end: total + 2, total };
}

/** The numbers from `start` on that pass the filter. */
function expected(start: number, end: number, passes: (number: number) => boolean): number[] {
  return range(start, end).filter(passes);
}

for (const [what, options, passes] of [
  ["all events", {}, () => true],
  ["a filter", { events: ["token"] }, (n: number, total: number) => n === total || n % 3 !== 0],
] as const)
  test(`each tab gets ${what} once and in order`, async (t) => {
    const { all, readers, end, total } = await runAtRandom(t, options);
    // The broker's own events pass each filter.
    const isOwn = (number: number) => number === 0 || number === end - 1;
    for (const { reader, start } of all) {
      const whole = expected(start, end, (n) => isOwn(n) || passes(n, total));
      assert.deepEqual(reader.numbers, whole.slice(0, reader.numbers.length));
    }
    for (const { reader } of readers) assert.equal(reader.numbers.at(-1), end - 1);
  });

test("each tab gets all data of a rollup once and in order", async (t) => {
  const { readers, total } = await runAtRandom(t, { rollup: ["token", "metric"] });
  for (const { reader, start } of readers) {
    const own = reader.seen.filter(({ event }) => event === "token" || event === "metric");
    const first = Math.max(1, start);
    assert.equal(
      own.map(({ data }) => data).join(""),
      range(first, total + 1)
        .map((number) => `${number} `)
        .join(""),
    );
    assert.equal(
      own.reduce((sum, { count }) => sum + count, 0),
      total + 1 - first,
    );
  }
});

/** A step over the event with this number. */
function step(number: number, data = ""): Step {
  const event = { id: `1-${number}`, event: "token", data, missed: null, count: 1 };
  const [before, after] = [`1-${number - 1}`, `1-${number}`];
  return { before, after, lastId: after, event, isEnd: false, status: null, reason: null };
}

test("a tab keeps only so many steps for its reader", () => {
  const unread = new Unread();
  for (const number of range(0, 999)) unread.push(step(number));
  assert.equal(unread.full, false);
  unread.push(step(999));
  assert.equal(unread.full, true);
  unread.shift();
  assert.equal(unread.full, false);
  unread.push(step(1_000, "x".repeat(1 << 20)));
  unread.shift();
  assert.equal(unread.full, true);
});

test("a tab keeps only the latest steps of the leading tab, and their end", () => {
  const backlog = new Backlog();
  backlog.start("1-0");
  for (const number of range(1, 5_001)) backlog.add(step(number));
  assert.equal(backlog.stepsAfter("1-4000"), undefined);
  assert.equal(backlog.stepsAfter("1-0"), undefined);
  assert.equal(backlog.stepsAfter(null), undefined);
  const rest = backlog.stepsAfter("1-4990") ?? [];
  assert.deepEqual(
    rest.map(({ lastId }) => lastId),
    range(4_991, 5_001).map((number) => `1-${number}`),
  );
  const end = { ...step(5_000), before: "1-5000", event: null, isEnd: true };
  backlog.add(end);
  assert.deepEqual(backlog.stepsAfter("1-5000"), [end]);
  for (const number of range(5_001, 5_005)) backlog.add(step(number, "x".repeat(1 << 19)));
  assert.equal(backlog.stepsAfter("1-5002"), undefined);
  assert.equal(backlog.stepsAfter("1-5003")?.length, 1);
  backlog.add(step(9_000));
  assert.equal(backlog.stepsAfter("1-5003"), undefined);
  assert.equal(backlog.stepsAfter("1-8999")?.length, 1);
});
