import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type StreamEvent, subscribe } from "tinistreamer/subscribe";
import { WebSocket as UndiciWebSocket } from "undici";
import { WebSocket } from "ws";
import { BrowserWebSocket, collect, startBroker, streamUrls, until } from "./support.js";

const named = (events: StreamEvent[]) => events.map(({ event, data }) => [event, data]);

const kinds = {
  "server-sent events": { transport: "sse", WebSocket: undefined },
  NDJSON: { transport: "ndjson", WebSocket: undefined },
  "long polling": { transport: "poll", WebSocket: undefined },
  "the WebSocket of ws": { transport: "ws", WebSocket },
  "the WebSocket of undici": { transport: "ws", WebSocket: UndiciWebSocket },
  "a WebSocket like those of browsers": { transport: "ws", WebSocket: BrowserWebSocket },
} as const;

for (const [kind, { transport, WebSocket }] of Object.entries(kinds)) {
  describe(`over ${kind}`, () => {
    test("a stream comes complete, with its final status", async (t) => {
      const { client, url } = await startBroker(t);
      const { token } = await client.createStream("k");
      await client.addEvents("k", [
        { event: "token", data: "ü\n🦀" },
        { event: "json", data: { a: [1] } },
        { event: "constructor" },
      ]);
      const events = subscribe({ url: streamUrls(url, "k")[transport], token, WebSocket });
      const first = (await events.next()).value;
      assert.equal(first?.event, "start");
      assert.equal(events.status, null);
      await client.cancelStream("k");
      const rest = await collect(events);
      assert.deepEqual(named(rest), [
        ["token", "ü\n🦀"],
        ["json", '{"a":[1]}'],
        ["constructor", ""],
        ["cancel", ""],
      ]);
      assert.deepEqual(rest[1]?.json(), { a: [1] });
      assert.equal(events.status, "cancelled");
      assert.equal(events.lastId, rest.at(-1)?.id);
      const more = subscribe({
        url: streamUrls(url, "k")[transport],
        token,
        WebSocket,
        after: events.lastId,
      });
      assert.deepEqual(await collect(more), []);
    });

    test("a refusal of the broker is thrown with its code and status", async (t) => {
      const { client, url } = await startBroker(t);
      await client.createStream("k");
      const { token } = await client.createStream("other");
      const refused = { name: "ApiError", status: 403, code: "forbidden" };
      await assert.rejects(
        collect(subscribe({ url: streamUrls(url, "k")[transport], token, WebSocket })),
        refused,
      );
    });

    test("leaving the loop closes the connection at the broker", async (t) => {
      const { client, broker, url } = await startBroker(t);
      const { token } = await client.createStream("k");
      for await (const _ of subscribe({ url: streamUrls(url, "k")[transport], token, WebSocket })) {
        // A poll has a connection only while it waits.
        assert.equal(await broker.connectionsInUse(), transport === "poll" ? 0 : 1);
        break;
      }
      await until(async () => (await broker.connectionsInUse()) === 0, "the connection is closed");
    });

    test("an abort rejects a waiting caller, and closes the connection", async (t) => {
      const { client, broker, url } = await startBroker(t);
      const { token } = await client.createStream("k");
      const abort = new AbortController();
      const events = subscribe({
        url: streamUrls(url, "k")[transport],
        token,
        WebSocket,
        signal: abort.signal,
      });
      await events.next();
      const waiting = events.next();
      abort.abort(new Error("enough"));
      await assert.rejects(waiting, { message: "enough" });
      assert.deepEqual(await events.next(), { done: true, value: undefined });
      await until(async () => (await broker.connectionsInUse()) === 0, "the connection is closed");
    });

    test("an abort closes the connection also while the reader is busy", async (t) => {
      const { client, broker, url } = await startBroker(t);
      const { token } = await client.createStream("k");
      const abort = new AbortController();
      const events = subscribe({
        url: streamUrls(url, "k")[transport],
        token,
        WebSocket,
        signal: abort.signal,
      });
      await events.next();
      abort.abort(new Error("enough"));
      await until(async () => (await broker.connectionsInUse()) === 0, "the connection is closed");
      await assert.rejects(events.next(), { message: "enough" });
    });

    test("return ends the iteration also while a caller waits for an event", async (t) => {
      const { client, broker, url } = await startBroker(t);
      const { token } = await client.createStream("k");
      const events = subscribe({ url: streamUrls(url, "k")[transport], token, WebSocket });
      await events.next();
      const waiting = events.next();
      await events.return();
      assert.deepEqual(await waiting, { done: true, value: undefined });
      await until(async () => (await broker.connectionsInUse()) === 0, "the connection is closed");
    });

    test("an expired token is replaced by another", async (t) => {
      const { client, url } = await startBroker(t, { STREAMER_CLIENT_TIMEOUT: "1" });
      await client.createStream("k", { ttl: 60 });
      const given: string[] = [];
      const events = subscribe({
        url: streamUrls(url, "k")[transport],
        token: async () => {
          given.push((await client.issueToken("k", { ttl: 1 })).token);
          return given.at(-1) ?? "";
        },
        WebSocket,
      });
      await events.next();
      // The broker closes silent connections after a second. The token has expired by then.
      const waiting = events.next();
      await until(() => given.length > 1, "another token is requested");
      await client.endStream("k");
      assert.equal((await waiting).value?.event, "end");
    });
  });
}

test("a WebSocket gets the token in a header, a browser's in the query", async (t) => {
  const { client, url } = await startBroker(t);
  const { token } = await client.createStream("k");
  await client.endStream("k");
  const urls: string[] = [];
  class NotingWebSocket extends WebSocket {
    constructor(url: string, init?: object) {
      urls.push(url);
      super(url, init);
    }
  }
  BrowserWebSocket.urls = [];
  await collect(subscribe({ url: streamUrls(url, "k").ws, token, WebSocket: NotingWebSocket }));
  await collect(subscribe({ url: streamUrls(url, "k").ws, token, WebSocket: BrowserWebSocket }));
  assert.deepEqual(
    urls.map((url) => new URL(url).searchParams.has("token")),
    [false],
  );
  assert.deepEqual(
    BrowserWebSocket.urls.map((url) => new URL(url).searchParams.get("token")),
    [token],
  );
});

test("only the broker's URLs are accepted", () => {
  assert.throws(() => subscribe({ url: "http://127.0.0.1/api/stream", token: "t" }), TypeError);
  assert.throws(() => subscribe({ url: "http://127.0.0.1/constructor", token: "t" }), TypeError);
  assert.throws(
    () => subscribe({ url: "http://127.0.0.1/sse?key=a&key=b", token: "t" }),
    TypeError,
  );
  assert.throws(() => subscribe({ url: "nonsense", token: "t" }), TypeError);
});
