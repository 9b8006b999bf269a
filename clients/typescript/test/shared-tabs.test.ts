import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type SharedSubscribeOptions, subscribeShared } from "tinistreamer/shared-tabs";
import { collect, until } from "./support.js";
import {
  assertWhole,
  type FakeChannels,
  type Reader,
  range,
  type Sent,
  startTabs,
} from "./tabs.js";

test("tabs share one connection, and each gets every event", async (t) => {
  const { client, open, add, connections, share } = await startTabs(t);
  const readers = [open(), open(), open()];
  await share(readers);
  await add(50);
  for (const reader of readers) await reader.has(50);
  await share(readers);
  await client.cancelStream("k", { reason: "enough", by: "bob" });
  for (const reader of readers) {
    await reader.ends();
    assert.equal(reader.events.status, "cancelled");
    assert.deepEqual(reader.events.reason, { reason: "enough", by: "bob" });
    assert.equal(reader.events.lastId, reader.seen.at(-1)?.id);
    assert.equal(reader.seen[7]?.json(), 7);
  }
  assertWhole(readers, 52);
  await connections(0);
});

for (const transport of ["ndjson", "poll"] as const)
  test(`tabs share one connection over ${transport}`, async (t) => {
    const { urls, client, open, add, share } = await startTabs(t);
    const readers = range(0, 3).map(() => open({ url: urls[transport] }));
    if (transport !== "poll") await share(readers);
    await add(20);
    await client.failStream("k", { code: "c", message: "m" });
    for (const reader of readers) {
      await reader.ends();
      assert.deepEqual(reader.events.reason, { code: "c", message: "m" });
    }
    assertWhole(readers, 22);
  });

test("a failure that only the end of the stream shows comes in each tab", async (t) => {
  const { client, open, share } = await startTabs(t);
  const readers = [open(), open()];
  await share(readers);
  for (const reader of readers) await reader.has(0);
  await client.failStream("k", { code: "c", message: "m" });
  for (const reader of readers) {
    await reader.ends();
    assert.equal(reader.events.status, "failed");
    assert.deepEqual(reader.events.reason, { code: "c", message: "m" });
  }
});

test("another tab takes over in the middle of an answer, again and again", async (t) => {
  const { client, open, add, share } = await startTabs(t);
  const readers = range(0, 5).map(() => open());
  const [last] = readers.slice(-1) as [Reader];
  for (const [index, reader] of readers.slice(0, -1).entries()) {
    await share(readers);
    const adding = add(30);
    await reader.events.return();
    await adding;
    await last.has(30 * (index + 1));
  }
  await client.endStream("k");
  await last.ends();
  assertWhole([last], 122);
  for (const reader of readers) assert.deepEqual(reader.numbers, range(0, reader.numbers.length));
});

test("a tab that lost messages repairs the hole, and joins again", async (t) => {
  const { channels, open, add, share } = await startTabs(t);
  const readers = [open(), open(), open()];
  await share(readers);
  let steps = 0;
  channels.lose = ({ kind }) => kind === "step" && ++steps % 7 === 0;
  await add(40);
  for (const reader of readers) await reader.has(40);
  channels.lose = () => false;
  assert.ok(steps > 7);
  await share(readers);
  await add(10);
  for (const reader of readers) await reader.has(50);
  assertWhole(readers, 51);
});

/** The tabs receive a step after their position, from the leading tab or another one. */
function postStep({ sent, open }: FakeChannels, id: string, other: object) {
  const [last] = sent.filter(({ kind }) => kind === "position").slice(-1);
  const { from, position } = last as Sent;
  const event = { id, event: "token", data: "false", missed: null, count: 1 };
  const end = { isEnd: false, status: null, reason: null };
  const step = { before: position, after: id, lastId: id, event, ...end };
  for (const channel of open) channel.onmessage?.({ data: { kind: "step", from, step, ...other } });
}

test("a tab does not take steps out of order, even if they look right", async (t) => {
  const { channels, open, add, share } = await startTabs(t);
  const readers = [open(), open()];
  await share(readers);
  for (const reader of readers) await reader.has(0);
  postStep(channels, "9-9", {});
  await add(3);
  for (const reader of readers) await reader.has(3);
  assertWhole(readers, 4);
  await until(() => readers.some(({ log }) => log.some(isAlone)), "a tab follows by itself");
});

test("a tab that lost the latest message finds out, although no other one follows", async (t) => {
  const { channels, open, add, share } = await startTabs(t);
  const readers = [open(), open(), open()];
  await share(readers);
  channels.lose = ({ kind }) => kind === "step";
  await add(1);
  for (const reader of readers) await reader.has(1);
  assertWhole(readers, 2);
});

test("a tab does not hear one that has lost the leadership", async (t) => {
  const { channels, open, add, share } = await startTabs(t);
  const readers = [open(), open()];
  await share(readers);
  for (const reader of readers) await reader.has(0);
  postStep(channels, "9-9", { from: "another tab" });
  await add(3);
  for (const reader of readers) await reader.has(3);
  assertWhole(readers, 4);
  for (const { log } of readers) assert.ok(!log.some(isAlone));
});

test("a tab takes over from one that does not answer, and that one joins again", async (t) => {
  const { channels, locks, open, add, share } = await startTabs(t);
  const readers = [open(), open(), open()];
  await share(readers);
  await add(5);
  for (const reader of readers) await reader.has(5);
  const { from: frozen } = channels.sent.findLast(({ kind }) => kind === "step") ?? {};
  let mute = true;
  channels.lose = ({ from }) => mute && from === frozen;
  await add(5);
  for (const reader of readers) await reader.has(10);
  await until(() => locks.steals > 0, "the leadership is stolen");
  mute = false;
  await share(readers);
  await add(5);
  for (const reader of readers) await reader.has(15);
  assertWhole(readers, 16);
});

test("a tab that did not hear who leads finds out, also while steps come", async (t) => {
  const { channels, open, add, share } = await startTabs(t);
  const readers = [open(), open(), open()] as [Reader, Reader, Reader];
  await share(readers);
  channels.lose = ({ kind }) => kind === "position";
  await readers[0].events.return();
  await until(() => readers.some(({ over, log }) => !over && log.includes("This tab leads")), "");
  channels.lose = () => false;
  let total = 0;
  await until(async () => {
    await add(1);
    total += 1;
    return readers.slice(1).every(({ seen }) => seen.length > 1);
  }, "both tabs get steps");
  for (const reader of readers.slice(1)) await reader.has(total);
  assertWhole(readers.slice(1), total + 1);
});

test("tabs follow by themselves while the leading one does not answer", async (t) => {
  const { channels, locks, open, add, share } = await startTabs(t);
  const readers = [open(), open(), open()];
  await share(readers);
  locks.canSteal = false;
  channels.lose = () => true;
  await add(5);
  for (const reader of readers) await reader.has(5);
  assertWhole(readers, 6);
});

test("a tab that opens while the leading one does not answer is not held up", async (t) => {
  const { channels, open, add, locks, connections } = await startTabs(t);
  open();
  await connections(1);
  channels.lose = () => true;
  await add(5);
  const late = open();
  await late.has(5);
  await until(() => locks.steals > 0, "the leadership is stolen");
});

test("a tab joins late, from the start, after an id and from now", async (t) => {
  const { open, add, share } = await startTabs(t);
  const first = open();
  await add(300);
  await first.has(300);
  const fromStart = open();
  const afterId = open({ after: first.seen[200]?.id });
  const fromNow = open({ from: "now" });
  await share([first, fromStart, afterId, fromNow]);
  await add(5);
  for (const reader of [fromStart, afterId, fromNow]) await reader.has(305);
  assertWhole([first, fromStart], 306);
  assert.deepEqual(afterId.numbers, range(201, 306));
  assert.deepEqual(fromNow.numbers, range(301, 306));
});

describe("tabs do not share", () => {
  const different: [string, Partial<SharedSubscribeOptions>][] = [
    ["with another name", { shareTabs: "bob" }],
    ["with another filter", { events: ["token"] }],
    ["with another rollup", { rollup: "token" }],
  ];
  for (const [what, options] of different)
    test(what, async (t) => {
      const { channels, locks, open, add, connections } = await startTabs(t);
      const readers = [open(), open(options)];
      await add(5);
      for (const reader of readers) await reader.has(5);
      await connections(2);
      assert.equal(new Set(locks.names).size, 2);
      assert.deepEqual(
        channels.sent.filter(({ kind }) => kind === "step"),
        [],
      );
    });

  test("before the broker has accepted the token of each", async (t) => {
    const { open, add } = await startTabs(t);
    const first = open();
    await add(5);
    await first.has(5);
    const stranger = open({ token: "not a token", after: first.seen[5]?.id });
    await until(() => stranger.over, "it is refused");
    assert.equal((stranger.error as { status?: number }).status, 401);
    assert.deepEqual(stranger.seen, []);
  });
});

const isAlone = (message: string) => message.startsWith("This tab follows by itself");
const isMove = ({ step }: Sent) => step?.event === null;

test("tabs at a position after filtered events share", async (t) => {
  const { channels, client, open, share } = await startTabs(t);
  const readers = range(0, 3).map(() => open({ events: ["alert"], from: "now" }));
  const send = (event: string) => client.addEvents("k", [{ event, data: "" }]);
  await send("metric");
  await send("metric");
  await share(readers);
  for (const event of ["alert", "metric", "alert", "metric"]) await send(event);
  for (const reader of readers) await reader.has(5);
  for (const reader of readers) assert.deepEqual(reader.numbers, [3, 5]);
  await until(() => channels.sent.some(isMove), "the leading tab sends its position");
  for (const { log } of readers) assert.ok(!log.some(isAlone));
  await client.endStream("k");
  for (const reader of readers) await reader.ends();
});

test("tabs share a rollup", async (t) => {
  const { client, open, add, share } = await startTabs(t);
  await add(100);
  const readers = range(0, 3).map(() => open({ rollup: "token" }));
  await share(readers);
  await add(20);
  await client.endStream("k");
  const text = `${range(1, 121).join(" ")} `;
  for (const reader of readers) {
    await reader.ends();
    const tokens = reader.seen.filter(({ event }) => event === "token");
    assert.equal(tokens.map(({ data }) => data).join(""), text);
    assert.equal(
      tokens.reduce((sum, { count }) => sum + count, 0),
      120,
    );
    assert.ok(tokens.length < 100);
  }
});

test("each tab learns of events that are no longer stored", async (t) => {
  const { open, add } = await startTabs(t, { max_events: 10 });
  const readers = [open(), open()];
  for (const reader of readers) await reader.has(0);
  const late = open();
  await add(500);
  for (const reader of [...readers, late]) await reader.has(500);
  await add(500);
  const later = open();
  await later.has(1000);
  assert.ok((later.events.missed?.count ?? 0) > 900);
  assert.equal(later.events.missed?.known, true);
  for (const reader of [...readers, late, later]) {
    const lost = reader.seen.filter(({ missed }) => missed);
    const sum = lost.reduce((sum, { missed }) => sum + (missed?.missed ?? 0), 0);
    const received = reader.seen.length - lost.length;
    await reader.has(1000);
    assert.equal(reader.events.missed?.count ?? 0, sum);
    assert.ok(received > 0);
  }
});

test("a slow reader does not slow the others down, and gets every event", async (t) => {
  for (const isLeading of [true, false]) {
    const { open, add, client, share } = await startTabs(t);
    const readers = [open(), open()] as [Reader, Reader];
    await share(readers);
    for (const reader of readers) await reader.has(0);
    const [slow, fast] = isLeading ? readers : [readers[1], readers[0]];
    let goOn = () => {};
    const paused = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    slow.pace = () => paused;
    for (const part of range(1, 6)) {
      await add(500);
      await fast.has(part * 500);
    }
    assert.ok(slow.seen.length < 3);
    assert.ok(slow.log.some((message) => message.endsWith("The reader of this tab is slow")));
    assert.equal(fast.log.includes("This tab leads"), true);
    goOn();
    await slow.has(2_500);
    await share(readers);
    await client.endStream("k");
    for (const reader of readers) await reader.ends();
    assertWhole(readers, 2_502);
  }
});

test("a single tab with a slow reader keeps one connection and stops reading", async (t) => {
  const { channels, open, add, client, connections } = await startTabs(t);
  await add(2_500);
  const reader = open();
  reader.pace = () => new Promise((resolve) => setTimeout(resolve, 0));
  await reader.has(2_500);
  await connections(1);
  await client.endStream("k");
  await reader.ends();
  assertWhole([reader], 2_502);
  assert.deepEqual(
    channels.sent.filter(({ kind }) => kind === "step"),
    [],
  );
});

test("a tab that leaves or aborts leaves nothing behind", async (t) => {
  const { channels, locks, open, connections, share } = await startTabs(t);
  const abort = new AbortController();
  const readers = [open({ signal: abort.signal }), open(), open()] as [Reader, Reader, Reader];
  for (const reader of readers) await reader.has(0);
  abort.abort(new Error("enough"));
  await until(() => readers[0].over, "the abort");
  assert.equal((readers[0].error as Error).message, "enough");
  await share(readers);
  for (const reader of readers.slice(1)) await reader.events.return();
  for (const reader of readers.slice(1)) await reader.ends();
  await connections(0);
  await until(() => locks.inUse === 0, "the locks are free");
  assert.equal(channels.open.size, 0);
});

test("without locks, and with locks that are refused, each tab follows by itself", async (t) => {
  const { channels, locks, open, add, connections } = await startTabs(t);
  locks.refusal = new DOMException("No", "SecurityError");
  const readers = [open(), open()];
  await connections(2);
  const { BroadcastChannel } = globalThis;
  globalThis.BroadcastChannel = class {
    constructor() {
      throw new DOMException("No", "SecurityError");
    }
  } as unknown as typeof BroadcastChannel;
  readers.push(open());
  await connections(3);
  globalThis.BroadcastChannel = BroadcastChannel;
  Object.defineProperty(globalThis, "navigator", { value: undefined, configurable: true });
  readers.push(open());
  await connections(4);
  await add(5);
  for (const reader of readers) await reader.has(5);
  assertWhole(readers, 6);
  assert.equal(channels.open.size, 0);
});

test("a subscription has the methods of `subscribe`, and its checks", async (t) => {
  const { urls, token, client, add } = await startTabs(t);
  await add(3);
  await client.endStream("k");
  const options = { url: urls.sse, token, shareTabs: "alice" };
  assert.equal(await subscribeShared(options).text(), "1 2 3 ");
  assert.equal((await collect(subscribeShared(options))).length, 5);
  for (const wrong of [{ shareTabs: "" }, { url: "http://127.0.0.1/" }, { token: "" }])
    assert.throws(() => subscribeShared({ ...options, ...wrong }), TypeError);
});
