// Signals that a subscriber sends.

import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { ApiError, subscribe, subscribeMany, UnreachableError } from "tinistreamer/subscribe";
import { WebSocket } from "ws";
import { type Answer, noActiveStream, startRoutes } from "./routes.js";
import { collect, startBroker, streamUrls } from "./support.js";

const SIGNAL = "/api/client/signal";
const permissions = ["read", "signal"] as ("read" | "signal")[];
const unauthorized: [number, unknown] = [401, { code: "token-expired", message: "Expired" }];

async function startStream(t: TestContext) {
  const { client, url } = await startBroker(t);
  await client.createStream("k");
  const { token } = await client.issueToken("k", { permissions, subject: "user-7" });
  return { client, token, url, urls: streamUrls(url, "k") };
}

const signalsOf = async (client: { readSignals(key: string): Promise<{ signals: object[] }> }) =>
  (await client.readSignals("k")).signals.map((signal) => {
    const { seq, name, data, by } = signal as Record<string, unknown>;
    return [seq, name, data, by];
  });

describe("a subscriber asks the producer", () => {
  for (const transport of ["sse", "ws", "ndjson", "poll"] as const)
    test(`to stop, over ${transport}, before the first event and once`, async (t) => {
      const { client, token, urls } = await startStream(t);
      const events = subscribe({ url: urls[transport], token, WebSocket });
      assert.equal(await events.requestStop(), 1);
      assert.equal((await events.next()).value?.event, "start");
      assert.equal(await events.requestStop(), 1);
      assert.equal(await events.sendSignal("steer", { to: ["the", "left"] }), 2);
      assert.deepEqual(await signalsOf(client), [
        [1, "stop", undefined, "user-7"],
        [2, "steer", { to: ["the", "left"] }, "user-7"],
      ]);
      await client.endStream("k");
      await collect(events);
      assert.equal(await events.requestStop(), null);
    });

  test("to stop, of a stream that is finished: null", async (t) => {
    const { client, token, urls } = await startStream(t);
    await client.endStream("k");
    const events = subscribe({ url: urls.sse, token });
    await collect(events);
    assert.equal(await events.requestStop(), null);
    await assert.rejects(events.sendSignal("steer"), { code: "no-active-stream" });
  });

  test("of one of several streams", async (t) => {
    const { client, url } = await startStream(t);
    await client.createStream("other");
    const { token } = await client.issueToken({ keys: ["k", "other"] }, { permissions });
    const events = subscribeMany({ url: `${url}/api/client/sse`, keys: ["k", "other"], token });
    assert.equal(await events.sendSignal("other", "steer", 1), 1);
    assert.equal(await events.requestStop("other"), 2);
    assert.equal(await events.requestStop("k"), 1);
    await client.endStream("k");
    await client.createStream("k");
    assert.deepEqual(await signalsOf(client), []);
  });

  test("only with a token that permits it", async (t) => {
    const { client, urls } = await startStream(t);
    const { token } = await client.issueToken("k");
    const refused = { name: "ApiError", status: 403, code: "forbidden" };
    await assert.rejects(subscribe({ url: urls.sse, token }).requestStop(), refused);
  });

  test("from a backend, which issues its tokens itself", async (t) => {
    const { client } = await startStream(t);
    assert.equal(await client.subscribe("k").requestStop(), 1);
    assert.equal(await client.subscribeMany(["k"]).requestStop("k"), 1);
  });

  test("with a new token when the old one has expired", async (t) => {
    const { client, urls } = await startStream(t);
    const tokens = [
      (await client.issueToken("k", { permissions, ttl: 1 })).token,
      (await client.issueToken("k", { permissions })).token,
    ];
    let asked = 0;
    const events = subscribe({ url: urls.sse, token: () => tokens[asked++] ?? "" });
    await events.next();
    await new Promise((resolve) => setTimeout(resolve, 2_100));
    assert.deepEqual([await events.requestStop(), await events.sendSignal("steer")], [1, 2]);
    assert.equal(asked, 2);
    await events.return();
  });
});

describe("a signal", () => {
  /** A subscription at a server that answers signals so. */
  async function startSignals(t: TestContext, answer: Answer, token: unknown = "t") {
    const { url, to } = await startRoutes(t, { [SIGNAL]: answer });
    const events = subscribe({
      url: `${url.replace("http", "ws")}/api/client/ws?key=a%2Fb&x=y`,
      token: token as string,
      WebSocket,
    });
    return { events, to };
  }

  test("is repeated with the same id after temporary failures", async (t) => {
    const answers: ([number, unknown] | undefined)[] = [
      [503, { code: "store-unavailable", message: "Away" }],
      [502, "a page"],
      [200, { seq: 7 }],
      [200, { seq: 8 }],
    ];
    const { events, to } = await startSignals(t, () => answers.shift());
    assert.equal(await events.sendSignal("steer", "left"), 7);
    const ids = to(SIGNAL).map(({ body }) => (body as { id: string }).id);
    assert.equal(ids.length, 3);
    assert.equal(new Set(ids).size, 1);
    assert.match(ids[0] ?? "", /^[a-z0-9]{16,64}$/);
    for (const { body, query, headers } of to(SIGNAL)) {
      assert.deepEqual(body, { id: ids[0], name: "steer", data: "left" });
      assert.deepEqual([...query], [["key", "a/b"]]);
      assert.equal(headers.authorization, "Bearer t");
    }
    assert.equal(await events.sendSignal("steer"), 8);
    const other = to(SIGNAL)[3]?.body as { id: string } | undefined;
    assert.notEqual(other?.id, ids[0]);
  });

  test("is not repeated after a final refusal", async (t) => {
    const finals: [number, unknown][] = [
      [429, { code: "too-many-signals", message: "Full" }],
      [400, { code: "invalid-request", message: "No" }],
      noActiveStream(),
    ];
    const { events, to } = await startSignals(t, () => finals.shift());
    for (const code of ["too-many-signals", "invalid-request", "no-active-stream"])
      await assert.rejects(events.requestStop(), (error: ApiError) => {
        return error instanceof ApiError && error.code === code;
      });
    assert.equal(to(SIGNAL).length, 3);
  });

  test("is not repeated when the broker asks to wait for longer than 30 seconds", async () => {
    let calls = 0;
    const fetch = async () => {
      calls += 1;
      const body = '{"code":"too-many-clients","message":"Full"}';
      return new Response(body, { status: 429, headers: { "Retry-After": "31" } });
    };
    const events = subscribe({ url: "http://broker.test/sse?key=k", token: "t", fetch });
    await assert.rejects(events.requestStop(), { code: "too-many-clients", retryAfter: 31 });
    assert.equal(calls, 1);
  });

  test("fails as unreachable when the broker is away for 30 seconds", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const fetch = async () => {
      throw new TypeError("fetch failed");
    };
    const now = performance.now.bind(performance);
    let passed = 0;
    t.mock.method(performance, "now", () => now() + passed);
    const events = subscribe({ url: "http://broker.test/sse?key=k", token: "t", fetch });
    let settled = false;
    const sent = events.requestStop().finally(() => {
      settled = true;
    });
    sent.catch(() => {});
    while (!settled) {
      passed += 100;
      t.mock.timers.tick(100);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await assert.rejects(sent, (error) => error instanceof UnreachableError);
    assert.ok(passed > 20_000 && passed <= 31_000);
  });

  test("asks for one new token when the broker refuses the first", async (t) => {
    let asked = 0;
    const token = () => `t${++asked}`;
    const { events, to } = await startSignals(
      t,
      ({ headers }) => (headers.authorization === "Bearer t2" ? [200, { seq: 1 }] : unauthorized),
      token,
    );
    await assert.rejects(events.requestStop(), { code: "token-expired" });
    assert.deepEqual([asked, to(SIGNAL).length], [1, 1], "a new token that is refused is an error");
    assert.equal(await events.requestStop(), 1);
    assert.equal(await events.requestStop(), 1);
    assert.equal(asked, 2);
  });

  test("throws the error of the token function, and asks it again later", async (t) => {
    let asked = 0;
    const { events } = await startSignals(
      t,
      () => [200, { seq: 1 }],
      () => {
        asked += 1;
        if (asked === 1) throw new Error("not logged in");
        return "t";
      },
    );
    await assert.rejects(events.requestStop(), { message: "not logged in" });
    assert.equal(await events.requestStop(), 1);
  });
});
