// Tabs that share a connection, when something fails or changes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { subscribeShared } from "tinistreamer/shared-tabs";
import type { ConnectionChange } from "tinistreamer/subscribe";
import { WebSocket } from "ws";
import { refusing, retry, sse, startScript, staying, stream } from "./scripted.js";
import { startBroker, streamUrls, until } from "./support.js";
import { assertWhole, fakeBrowser, Reader, range, startTabs } from "./tabs.js";

const frame = (number: number, event = "token") => `id: 1-${number}\nevent: ${event}\ndata:\n\n`;

test("only the leading tab asks for another token, and each tab sees the outage", async (t) => {
  fakeBrowser(t);
  let cut = () => {};
  const { url, requests } = await startScript(
    t,
    (_request, response) => {
      response.writeHead(200, sse).write(retry + frame(0, "start"));
      cut = () => response.end();
    },
    staying(sse, frame(0, "start")),
    refusing(401, "token-expired"),
    stream(sse, frame(1), frame(2, "end")),
  );
  const asked: number[] = [];
  const changes: ConnectionChange[][] = [[], []];
  const open = (tab: number) => {
    const access = () => {
      asked.push(tab);
      return { sse_url: `${url}/sse?key=k`, token: `t${asked.length}` };
    };
    const onConnection = (change: ConnectionChange) => changes[tab]?.push(change);
    return new Reader(subscribeShared({ access, shareTabs: "alice", onConnection }));
  };
  const readers = [open(0)];
  await readers[0]?.has(0);
  readers.push(open(1));
  await readers[1]?.has(0);
  await until(() => states(changes[1]).at(-1) === "open", "the second tab is admitted");
  assert.deepEqual(asked, [0, 1]);
  cut();
  for (const reader of readers) await reader.ends();
  assertWhole(readers, 3);
  assert.deepEqual(asked, [0, 1, 0]);
  assert.equal(requests.length, 4);
  for (const tab of changes) {
    assert.deepEqual([...new Set(states(tab))], ["connecting", "open", "waiting", "closed"]);
    const { error, retryInMs } = tab.find(({ state }) => state === "waiting") ?? {};
    assert.match((error as Error).message, /closed before/);
    assert.equal(typeof retryInMs, "number");
    assert.equal(tab.at(-1)?.error, null);
  }
});

const states = (changes: ConnectionChange[] = []) => changes.map(({ state }) => state);

test("an outage has the broker's error in each tab", async (t) => {
  fakeBrowser(t);
  let cut = () => {};
  const { url } = await startScript(
    t,
    (_request, response) => {
      response.writeHead(200, sse).write(retry + frame(0, "start"));
      cut = () => response.end();
    },
    staying(sse, frame(0, "start")),
    refusing(503, "store-unavailable"),
    stream(sse, frame(1, "end")),
  );
  const errors: unknown[] = [];
  const onConnection = ({ error }: ConnectionChange) => error && errors.push(error);
  const options = { url: `${url}/sse?key=k`, token: "t", shareTabs: "alice" };
  const first = new Reader(subscribeShared(options));
  await first.has(0);
  const second = new Reader(subscribeShared({ ...options, onConnection }));
  await second.has(0);
  cut();
  for (const reader of [first, second]) await reader.ends();
  const [last] = errors.slice(-1) as [{ name: string; status: number; code: string }];
  assert.deepEqual([last.name, last.status, last.code], ["ApiError", 503, "store-unavailable"]);
});

test("events that the leading tab missed are missing in each tab, and count once", async (t) => {
  fakeBrowser(t);
  let cut = () => {};
  const missed = { after: "1-0", first: "1-5", missed: 4 };
  const lost = `event: missedevents\ndata: ${JSON.stringify(missed)}\n\n`;
  const { url, requests } = await startScript(
    t,
    (_request, response) => {
      response.writeHead(200, sse).write(retry + frame(0, "start"));
      cut = () => response.end();
    },
    staying(sse, frame(0, "start")),
    stream(sse, lost),
    stream(sse, lost, frame(5), frame(6, "end")),
  );
  const options = { url: `${url}/sse?key=k`, token: "t", shareTabs: "alice" };
  const readers = [new Reader(subscribeShared(options))];
  await readers[0]?.has(0);
  readers.push(new Reader(subscribeShared(options)));
  await readers[1]?.has(0);
  cut();
  for (const reader of readers) {
    await reader.ends();
    const names = reader.seen.map(({ event }) => event);
    assert.deepEqual(names, ["start", "missedevents", "missedevents", "token", "end"]);
    assert.deepEqual(reader.seen[1]?.missed, missed);
    assert.deepEqual(reader.events.missed, { count: 4, known: true });
  }
  assert.equal(requests.length, 4);
});

test("any tab asks the producer to stop, with its own token", async (t) => {
  const { client, open, share } = await startTabs(t);
  const permissions = ["read", "signal"] as ("read" | "signal")[];
  const tokenOf = async (subject: string) =>
    (await client.issueToken("k", { permissions, subject })).token;
  const readers = [open({ token: await tokenOf("a") }), open({ token: await tokenOf("b") })];
  await share(readers);
  assert.equal(await readers[1]?.events.requestStop(), 1);
  assert.equal(await readers[0]?.events.sendSignal("steer", 1), 2);
  const { signals } = await client.readSignals("k");
  assert.deepEqual(
    signals.map(({ name, by }) => [name, by]),
    [
      ["stop", "b"],
      ["steer", "a"],
    ],
  );
  await client.cancelStream("k");
  for (const reader of readers) {
    await reader.ends();
    assert.equal(await reader.events.requestStop(), null);
  }
});

test("an operator disconnects all tabs of a group", async (t) => {
  const { client, urls, open, add, connections, share } = await startTabs(t);
  const readers = range(0, 3).map(() => open({ url: urls.ws, WebSocket }));
  await add(3);
  for (const reader of readers) await reader.has(3);
  await share(readers);
  const [row] = await client.listClients();
  await client.disconnectClient(row?.id ?? "");
  for (const reader of readers) {
    await until(() => reader.over, "the end");
    assert.equal((reader.error as { code?: string }).code, "disconnected-by-operator");
    assert.equal((reader.error as Error).name, "SubscribeError");
  }
  assertWhole(readers, 4);
  await connections(0);
});

test("each tab learns by itself that the stream was deleted", async (t) => {
  const { client, open, connections, share } = await startTabs(t, { if_exists: "replace" });
  const readers = [open(), open(), open()];
  for (const reader of readers) await reader.has(0);
  await share(readers);
  await client.createStream("k", { if_exists: "replace" });
  for (const reader of readers) await until(() => reader.over, "the end");
  for (const { error, events } of readers) assert.ok(error !== undefined || events.status !== null);
  await connections(0);
});

test("a page that is frozen gives up its connection, and goes on where it was", async (t) => {
  const page = new EventTarget();
  const window = new EventTarget();
  const document = Object.assign(page, { defaultView: window });
  Object.defineProperty(globalThis, "document", { value: document, configurable: true });
  t.after(() => Reflect.deleteProperty(globalThis, "document"));
  const { channels, locks, open, add, connections } = await startTabs(t);
  const reader = open();
  await add(3);
  await reader.has(3);
  for (const [target, stop, start] of [
    [page, "freeze", "resume"],
    [window, "pagehide", "pageshow"],
  ] as const) {
    const last = reader.numbers.at(-1) as number;
    target.dispatchEvent(new Event(stop));
    await connections(0);
    await until(() => locks.inUse === 0, "the lock is free");
    assert.equal(channels.open.size, 0);
    await add(5);
    target.dispatchEvent(new Event(start));
    await reader.has(last + 5);
    await until(() => locks.inUse === 1, "it leads again");
    target.dispatchEvent(new Event(start));
    assert.equal(channels.open.size, 1);
  }
  assertWhole([reader], 14);
  await reader.events.return();
  page.dispatchEvent(new Event("freeze"));
  page.dispatchEvent(new Event("resume"));
  assert.equal(channels.open.size, 0);
});

test("tabs use Node's own channels", async (t) => {
  const { BroadcastChannel } = globalThis;
  fakeBrowser(t);
  globalThis.BroadcastChannel = BroadcastChannel;
  const { broker, client, url } = await startBroker(t, { STREAMER_HEARTBEAT: "1" });
  const { token } = await client.createStream("k");
  const options = { url: streamUrls(url, "k").sse, token, shareTabs: "alice" };
  const readers = range(0, 3).map(() => new Reader(subscribeShared(options)));
  for (const reader of readers) await reader.has(0);
  await until(async () => (await broker.connectionsInUse()) === 1, "one connection");
  for (const _ of range(0, 20)) await client.addEvents("k", [{ event: "token", data: "x" }]);
  await client.endStream("k");
  for (const reader of readers) await reader.ends();
  assertWhole(readers, 22);
});
