import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, type TestContext, test } from "node:test";
import { type StreamEvent, subscribe, subscribeMany } from "tinistreamer/subscribe";
import { WebSocket, WebSocketServer } from "ws";
import { frame, json, line, ndjson, retry, sse, startScript, staying, stream } from "./scripted.js";
import { BrowserWebSocket, collect, startBroker, streamUrls } from "./support.js";

const named = (events: StreamEvent[]) => events.map(({ event }) => event);
const statuses = (events: { statuses: ReadonlyMap<string, unknown> }) =>
  Object.fromEntries(events.statuses);

/** Answers 204: nothing follows. */
const nothing = (_request: unknown, response: { writeHead(status: number): { end(): void } }) =>
  response.writeHead(204).end();

/** A stream on a real broker that broke off after half an answer. */
async function startFailed(t: TestContext) {
  const { client, url } = await startBroker(t);
  const { token } = await client.createStream("k");
  await client.addEvents("k", [{ event: "token", data: "half an ans" }]);
  await client.failStream("k", { code: "model-overloaded", message: "The model is overloaded" });
  return { client, token, urls: streamUrls(url, "k"), url };
}

const kinds = {
  sse: { transport: "sse", WebSocket: undefined },
  ndjson: { transport: "ndjson", WebSocket: undefined },
  poll: { transport: "poll", WebSocket: undefined },
  "the WebSocket of ws": { transport: "ws", WebSocket },
  "a WebSocket like those of browsers": { transport: "ws", WebSocket: BrowserWebSocket },
} as const;

for (const [kind, { transport, WebSocket }] of Object.entries(kinds)) {
  describe(`a stream that fails, over ${kind}`, () => {
    test("delivers the event once, and ends the iteration with the status", async (t) => {
      const { client, url } = await startBroker(t);
      const { token } = await client.createStream("k");
      const reconnects: unknown[] = [];
      const events = subscribe({
        url: streamUrls(url, "k")[transport],
        token,
        WebSocket,
        onReconnect: (cause) => reconnects.push(cause),
      });
      await events.next();
      await client.failStream("k", { code: "model-overloaded", message: "Try again" });
      const rest = await collect(events);
      assert.deepEqual(named(rest), ["fail"]);
      assert.deepEqual(rest[0]?.json(), { code: "model-overloaded", message: "Try again" });
      assert.equal(events.status, "failed");
      assert.equal(events.lastId, rest[0]?.id);
      // The subscription checks the end at once. That is no outage.
      assert.deepEqual(reconnects, []);
    });

    test("is not a complete text", async (t) => {
      const { token, urls } = await startFailed(t);
      const follow = () => subscribe({ url: urls[transport], token, WebSocket });
      const events = follow();
      const error = await events.text().catch((error) => error);
      assert.deepEqual(
        [error.name, error.code, error.message],
        ["SubscribeError", "stream-failed", "The stream failed: The model is overloaded"],
      );
      assert.equal(error.lastEvent.json().code, "model-overloaded");
      assert.equal(events.status, "failed");
      assert.deepEqual(named(await follow().collect()), ["start", "token", "fail"]);
    });

    test("resumes before its last event, and has nothing after it", async (t) => {
      const { client, token, urls } = await startFailed(t);
      const ids = (await client.streamEvents("k")).map(({ id }) => id);
      const follow = (after: string | undefined) =>
        subscribe({ url: urls[transport], token, WebSocket, after: after ?? null });
      const events = follow(ids[1]);
      assert.deepEqual(named(await collect(events)), ["fail"]);
      assert.equal(events.status, "failed");
      assert.deepEqual(await collect(follow(ids[2])), []);
    });

    test("is reported beside a stream that ends", async (t) => {
      const { client, url } = await startBroker(t);
      const keys = ["broken", "good"];
      for (const key of keys) await client.createStream(key);
      const { token } = await client.issueToken({ keys });
      const { [transport]: at } = streamUrls(url, "broken");
      const events = subscribeMany({ url: at, keys, token, WebSocket });
      await client.failStream("broken");
      const all: string[] = [];
      for await (const { key, event } of events) {
        all.push(`${key} ${event}`);
        if (event === "fail") {
          assert.deepEqual(statuses(events), { broken: "failed", good: "active" });
          await client.endStream("good");
        }
      }
      assert.deepEqual(all.sort(), ["broken fail", "broken start", "good end", "good start"]);
      assert.deepEqual(statuses(events), { broken: "failed", good: "ended" });
      const more = subscribeMany({ url: at, keys, token, WebSocket, after: events.cursor });
      assert.deepEqual(await collect(more), []);
    });
  });
}

test("over server-sent events, outages after `fail` do not hide the end", async (t) => {
  const { token, urls } = await startFailed(t);
  const requests: (string | null)[] = [];
  const cutting: typeof fetch = async (url, init) => {
    requests.push(new Headers(init?.headers).get("last-event-id"));
    if (requests.length === 2) throw new TypeError("No route to the broker");
    const response = await fetch(url, init);
    if (requests.length > 1 || !response.body) return response;
    // The connection is cut after the frame of `fail`.
    let text = "";
    const cut = new TransformStream<string, string>({
      transform(chunk, controller) {
        text += chunk;
        controller.enqueue(chunk);
        if (/event: fail\n(.|\n)*\n\n/.test(text)) controller.error(new Error("cut"));
      },
    });
    const body = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(cut);
    return new Response(body.pipeThrough(new TextEncoderStream()), response);
  };
  const events = subscribe({ url: urls.sse, token, fetch: cutting });
  const all: StreamEvent[] = [];
  for await (const event of events) {
    all.push(event);
    // Not before the broker has said that nothing follows.
    assert.equal(events.status, null);
  }
  const last = all.at(-1)?.id;
  assert.deepEqual(named(all), ["start", "token", "fail"]);
  assert.deepEqual(requests, [null, last, last]);
  assert.equal(events.status, "failed");
});

describe("over server-sent events", () => {
  const abandon = frame("1-1", "abandon", '{"reason":"lease"}');

  test("a stream is abandoned when the connection closes, and 204 follows", async (t) => {
    const { url, requests } = await startScript(
      t,
      stream(sse, frame("1-0", "start"), abandon),
      nothing,
    );
    const events = subscribe({ url: `${url}/sse`, token: "t" });
    await assert.rejects(events.text(), {
      code: "stream-abandoned",
      message: "The stream was abandoned: lease",
    });
    assert.equal(events.status, "abandoned");
    assert.deepEqual(
      requests.map(({ after }) => after),
      [undefined, "1-1"],
    );
  });

  test("`fail` is an ordinary event when others follow it", async (t) => {
    const { url, requests } = await startScript(
      t,
      stream(sse, retry, frame("1-0", "start"), frame("1-1", "fail", "x"), frame("1-2")),
      stream(sse, retry, frame("1-3", "fail"), frame("1-4", "abandon")),
      stream(sse, frame("1-5"), frame("1-6", "end")),
    );
    const events = subscribe({ url: `${url}/sse`, token: "t" });
    assert.equal((await collect(events)).length, 7);
    assert.equal(events.status, "ended");
    assert.deepEqual(
      requests.map(({ after }) => after),
      [undefined, "1-2", "1-4"],
    );
  });

  test("nothing after an ordinary `fail` and other events does not mean failed", async (t) => {
    const { url } = await startScript(
      t,
      stream(sse, retry, frame("1-0", "start"), frame("1-1", "fail"), frame("1-2")),
      nothing,
    );
    const events = subscribe({ url: `${url}/sse`, token: "t" });
    await collect(events);
    assert.equal(events.status, null);
  });

  test("a connection that breaks again and again after `fail` is not made at once", async (t) => {
    const { url, requests } = await startScript(
      t,
      stream(sse, "retry: 200\n", frame("1-0", "fail")),
      stream(sse),
      stream(sse, frame("1-1", "end")),
    );
    let reconnects = 0;
    const events = subscribe({ url: `${url}/sse`, token: "t", onReconnect: () => reconnects++ });
    await collect(events);
    assert.deepEqual([requests.length, reconnects], [3, 1]);
  });

  test("of several streams, 204 says which ones failed or were abandoned", async (t) => {
    const { url, requests } = await startScript(
      t,
      stream(
        sse,
        retry,
        frame("a:1-0,~A", "fail"),
        frame("b:1-0,~B", "fail"),
        frame("c:1-0,~C", "abandon"),
        frame("b:1-1,~D"),
        frame("d:1-0!,~E", "end"),
      ),
      nothing,
    );
    const events = subscribeMany({ url: `${url}/sse`, keys: ["a", "b", "c", "d"], token: "t" });
    assert.equal((await collect(events)).length, 5);
    assert.deepEqual(statuses(events), { a: "failed", b: null, c: "abandoned", d: "ended" });
    assert.deepEqual(
      requests.map(({ query }) => query.getAll("key").join()),
      ["a,b,c,d", "a,b,c"],
    );
  });

  test("the mark of a last event in the cursor is believed at once", async (t) => {
    const { url, requests } = await startScript(
      t,
      staying(sse, frame("a:1-0!,~A", "abandon"), frame("b:1-0!,~B", "end")),
    );
    const events = subscribeMany({ url: `${url}/sse`, keys: ["a", "b"], token: "t" });
    assert.equal((await collect(events)).length, 2);
    assert.deepEqual(statuses(events), { a: "abandoned", b: "ended" });
    assert.equal(requests.length, 1);
  });
});

describe("over JSON, `stream_status` says which event is the last", () => {
  const events = (key?: string) => [
    { key, id: "1-0", event: "fail", data: "x" },
    { key, id: "1-1", event: "abandon" },
    { key, id: "1-2", event: "abandon", data: '{"reason":"stall"}', stream_status: "abandoned" },
  ];

  async function startSockets(t: TestContext, messages: unknown[]): Promise<string> {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    t.after(() => server.close());
    await once(server, "listening");
    server.on("connection", (socket) => {
      for (const message of messages) socket.send(JSON.stringify(message));
    });
    return `ws://127.0.0.1:${(server.address() as { port: number }).port}/ws`;
  }

  const ways: Record<string, (t: TestContext, key?: string) => Promise<string>> = {
    ndjson: async (t, key) =>
      `${(await startScript(t, staying(ndjson, ...events(key).map(line)))).url}/ndjson`,
    poll: async (t, key) => {
      const body = { events: events(key), cursor: "1-2", status: "abandoned" };
      return `${(await startScript(t, json(body))).url}/poll`;
    },
    websocket: (t, key) => startSockets(t, [[], ...events(key)]),
  };
  for (const [way, start] of Object.entries(ways)) {
    test(`over ${way}`, async (t) => {
      const one = subscribe({ url: await start(t), token: "t", WebSocket });
      assert.deepEqual(named(await collect(one)), ["fail", "abandon", "abandon"]);
      assert.equal(one.status, "abandoned");
      const many = subscribeMany({ url: await start(t, "a"), keys: ["a"], token: "t", WebSocket });
      assert.equal((await collect(many)).length, 3);
      assert.deepEqual(statuses(many), { a: "abandoned" });
    });
  }

  test("a `fail` without it stays an ordinary event, also before 204", async (t) => {
    const { url } = await startScript(
      t,
      stream(ndjson, line({ id: "1-0", event: "fail" })),
      nothing,
    );
    const events = subscribe({ url: `${url}/ndjson`, token: "t" });
    assert.equal((await collect(events)).length, 1);
    assert.equal(events.status, null);
  });
});
