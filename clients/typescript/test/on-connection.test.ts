import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { Client, type LogEntry } from "tinistreamer";
import { type ConnectionChange, subscribe } from "tinistreamer/subscribe";
import { WebSocket } from "ws";
import { frame, json, refusing, retry, sse, startScript, staying, stream } from "./scripted.js";
import { collect, startBroker, streamUrls } from "./support.js";

/** A subscription that records the changes of its connection, and its log. */
function recording(url: string, more: object = {}) {
  const changes: ConnectionChange[] = [];
  const log: LogEntry[] = [];
  const events = subscribe({
    url,
    token: "t",
    onConnection: (change) => changes.push(change),
    onLog: (entry) => log.push(entry),
    ...more,
  });
  const states = () => changes.map(({ state, attempt }) => `${state} ${attempt}`);
  return { events, changes, states, log };
}

/** The code of the error of a change. */
const codeOf = (change: ConnectionChange | undefined) =>
  (change?.error as { code?: string } | undefined)?.code;

const refused = refusing(503, "store-unavailable");

describe("the changes of a connection", () => {
  for (const transport of ["sse", "ws", "ndjson", "poll"] as const)
    test(`are reported once each, over ${transport}`, async (t) => {
      const { client, url } = await startBroker(t);
      const { token } = await client.createStream("k");
      const { events, changes } = recording(streamUrls(url, "k")[transport], { token, WebSocket });
      await events.next();
      await client.endStream("k");
      await collect(events);
      const none = { attempt: 1, error: null, retryInMs: null };
      assert.deepEqual(changes, [
        { state: "connecting", ...none },
        { state: "open", ...none },
        { state: "closed", ...none },
      ]);
    });

  test("count attempts until the next event", async (t) => {
    const { url } = await startScript(
      t,
      stream(sse, retry, frame("1-0", "start")),
      refused,
      stream(sse),
      stream(sse, frame("1-1")),
      stream(sse, frame("1-2", "end")),
    );
    const { events, changes, states, log } = recording(`${url}/sse?key=k`);
    await collect(events);
    assert.deepEqual(states(), [
      "connecting 1",
      "open 1",
      "waiting 1",
      "connecting 1",
      "waiting 1",
      "connecting 2",
      "open 2",
      "waiting 2",
      "connecting 3",
      "open 3",
      "waiting 3",
      "connecting 1",
      "open 1",
      "closed 1",
    ]);
    for (const { state, error, retryInMs } of changes) {
      assert.equal(error instanceof Error, state === "waiting");
      assert.equal(Number.isInteger(retryInMs), state === "waiting");
    }
    assert.equal(codeOf(changes[4]), "store-unavailable");
    const levels = (level: string) => log.filter((entry) => entry.level === level).length;
    assert.deepEqual([levels("info"), levels("debug"), levels("warn")], [4, 10, 0]);
  });

  test("end with the error that ends the subscription", async (t) => {
    const { url } = await startScript(t, refusing(403, "forbidden"));
    const { events, changes, states } = recording(`${url}/sse?key=k`);
    await assert.rejects(collect(events), { code: "forbidden" });
    assert.deepEqual(states(), ["connecting 1", "closed 1"]);
    assert.equal(codeOf(changes[1]), "forbidden");
  });

  test("do not contain a token that is replaced, only one more attempt", async (t) => {
    const { url } = await startScript(
      t,
      stream(sse, retry, frame("1-0", "start")),
      refusing(401, "token-expired"),
      stream(sse, frame("1-1", "end")),
    );
    const { events, states } = recording(`${url}/sse?key=k`, { token: () => "t" });
    await collect(events);
    assert.deepEqual(states().slice(2), [
      "waiting 1",
      "connecting 1",
      "connecting 2",
      "open 2",
      "closed 2",
    ]);
  });

  test("do not contain the next long poll, but its failure", async (t) => {
    const nothing = { events: [], cursor: "1-0", status: "active" };
    const event = (number: number, status: string) => ({
      events: [{ id: `1-${number}`, event: status === "ended" ? "end" : "start" }],
      cursor: `1-${number}`,
      status,
    });
    const { url } = await startScript(
      t,
      json(event(0, "active")),
      json(nothing),
      refused,
      json(nothing),
      json(event(1, "ended")),
    );
    const { events, states } = recording(`${url}/poll?key=k`);
    await collect(events);
    assert.deepEqual(states(), [
      "connecting 1",
      "open 1",
      "waiting 1",
      "connecting 1",
      "open 1",
      "closed 1",
    ]);
  });

  const leave: [string, (t: TestContext, abort: AbortController) => Promise<unknown>][] = [
    ["leaves", async () => {}],
    ["aborts", async (_t, abort) => abort.abort(new Error("enough"))],
  ];
  for (const [what, leaveBy] of leave)
    test(`end without an error when the caller ${what}`, async (t) => {
      const { url } = await startScript(t, staying(sse, frame("1-0", "start")));
      const abort = new AbortController();
      const { events, changes } = recording(`${url}/sse?key=k`, { signal: abort.signal });
      await events.next();
      await leaveBy(t, abort);
      if (abort.signal.aborted) await assert.rejects(events.next(), { message: "enough" });
      await events.return();
      await Promise.resolve();
      assert.deepEqual(changes.at(-1), {
        state: "closed",
        attempt: 1,
        error: null,
        retryInMs: null,
      });
    });
});

test("no log entry has a token, an API key or a query", async (t) => {
  const log: LogEntry[] = [];
  const { url, apiKey } = await startBroker(t);
  const client = new Client({ url, apiKey, onLog: (entry) => log.push(entry) });
  const { token } = await client.createStream("secret-stream");
  await client.publish("secret-stream", async (writer) => {
    await writer.write("token", "a");
    await client.sendSignal("secret-stream", "stop");
    for await (const { name } of writer.signals()) if (name === "stop") break;
  });
  await collect(client.subscribe("secret-stream"));
  const urls = streamUrls(url, "secret-stream");
  const onLog = (entry: LogEntry) => log.push(entry);
  await collect(subscribe({ url: urls.ws, token, WebSocket, tokenInQuery: true, onLog }));
  await assert.rejects(collect(subscribe({ url: urls.sse, token: "bad-token", onLog })));
  assert.deepEqual([...new Set(log.map(({ level }) => level))].sort(), ["debug", "info"]);
  for (const { message } of log) {
    assert.match(message, /^[A-Z]/);
    for (const secret of [token, apiKey, "bad-token", "secret-stream", "?"])
      assert.ok(!message.includes(secret), message);
  }
});

test("a call of the management has a timeout", async (t) => {
  const { url } = await startScript(t, () => {});
  const client = new Client({ url, apiKey: "k", timeoutMs: 50 });
  await assert.rejects(client.listStreams(), { name: "UnreachableError", code: "unreachable" });
  const abort = new AbortController();
  const call = new Client({ url, apiKey: "k", timeoutMs: Number.POSITIVE_INFINITY }).ready(abort);
  abort.abort(new Error("enough"));
  await assert.rejects(call, { message: "enough" });
});
