import assert from "node:assert/strict";
import { once } from "node:events";
import type http from "node:http";
import { describe, test } from "node:test";
import { ApiError, type StreamEvent, SubscribeError, subscribe } from "tinistreamer/subscribe";
import { WebSocket as UndiciWebSocket } from "undici";
import { WebSocket, WebSocketServer } from "ws";
import { BrowserWebSocket, collect, startBroker, startServer, streamUrls, until } from "./support.js";

const named = (events: StreamEvent[]) => events.map(({ event, data }) => [event, data]);

/** An event as server-sent events carry it. */
const frame = (number: number, event = "token", data = "") =>
  `id: 1-${number}\nevent: ${event}\ndata: ${data}\n\n`;

const sse = { "Content-Type": "text/event-stream" };

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
    test("a stream comes whole, with how it was finished", async (t) => {
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

    test("what the broker refuses is thrown with its code and status", async (t) => {
      const { client, url } = await startBroker(t);
      await client.createStream("k");
      const { token } = await client.createStream("other");
      const refused = { name: "ApiError", status: 403, code: "forbidden" };
      await assert.rejects(
        collect(subscribe({ url: streamUrls(url, "k")[transport], token, WebSocket })),
        refused,
      );
    });

    test("leaving the loop frees the place at the broker", async (t) => {
      const { client, broker, url } = await startBroker(t);
      const { token } = await client.createStream("k");
      for await (const _ of subscribe({ url: streamUrls(url, "k")[transport], token, WebSocket })) {
        // A poll takes none while it is not waiting.
        assert.equal(await broker.slotsInUse(), transport === "poll" ? 0 : 1);
        break;
      }
      await until(async () => (await broker.slotsInUse()) === 0, "the place is free");
    });

    test("an abort is thrown to who waits for an event, and frees the place", async (t) => {
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
      await until(async () => (await broker.slotsInUse()) === 0, "the place is free");
    });

    test("an abort frees the place also while the reader is busy with an event", async (t) => {
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
      await until(async () => (await broker.slotsInUse()) === 0, "the place is free");
      await assert.rejects(events.next(), { message: "enough" });
    });

    test("return ends the iteration of who waits for an event", async (t) => {
      const { client, broker, url } = await startBroker(t);
      const { token } = await client.createStream("k");
      const events = subscribe({ url: streamUrls(url, "k")[transport], token, WebSocket });
      await events.next();
      const waiting = events.next();
      await events.return();
      assert.deepEqual(await waiting, { done: true, value: undefined });
      await until(async () => (await broker.slotsInUse()) === 0, "the place is free");
    });

    test("a token that has expired is replaced by another", async (t) => {
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
      // The broker closes silent connections after a second, when the token is as old.
      const waiting = events.next();
      await until(() => given.length > 1, "another token is asked for");
      await client.endStream("k");
      assert.equal((await waiting).value?.event, "end");
    });
  });
}

test("a WebSocket that takes headers has the token there, one like those of browsers in the query", async (t) => {
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

describe("a connection that breaks", () => {
  test("is made again after the last event that was handed out", async (t) => {
    const asked: (string | undefined)[] = [];
    const url = await startServer(t, (request, response) => {
      asked.push(request.headers["last-event-id"] as string | undefined);
      response.writeHead(200, sse);
      if (asked.length === 1) response.write(`retry: 1\n${frame(0, "start")}${frame(1)}id: 1-2\nevent: half`);
      else response.write(frame(asked.length, asked.length === 3 ? "end" : "token"));
      response.end();
    });
    const events = await collect(subscribe({ url: `${url}/sse`, token: "t" }));
    assert.deepEqual(
      events.map(({ id }) => id),
      ["1-0", "1-1", "1-2", "1-3"],
    );
    assert.deepEqual(asked, [undefined, "1-1", "1-2"]);
  });

  test("is given up as disconnected when nothing is heard for too long", async (t) => {
    const url = await startServer(t, (request) => request.socket.destroy());
    const events = subscribe({ url: `${url}/sse`, token: "t", giveUpAfterMs: 50 });
    await assert.rejects(collect(events), { name: "SubscribeError", code: "disconnected" });
  });

  test("that has fallen silent is made again", async (t) => {
    let asked = 0;
    const url = await startServer(t, (_request, response) => {
      asked += 1;
      response.writeHead(200, sse);
      response.write(asked === 1 ? `retry: 1\n${frame(0, "start")}` : frame(1, "end"));
    });
    const events = await collect(subscribe({ url: `${url}/sse`, token: "t", silenceMs: 50 }));
    assert.deepEqual(
      events.map(({ event }) => event),
      ["start", "end"],
    );
  });
});

describe("what is asked for", () => {
  test("is in the query", async (t) => {
    const queries: string[] = [];
    const url = await startServer(t, (request, response) => {
      queries.push(request.url ?? "");
      response.writeHead(204).end();
    });
    const wishes = { events: ["a b", "c*"], wait: true, clientName: "me", tags: ["x", "y"] };
    const options = { url: `${url}/sse?key=k`, token: "t", ...wishes };
    await collect(subscribe({ ...options, from: new Date(0) }));
    await collect(subscribe({ ...options, from: "-3" }));
    const query = "events=a+b%2Cc*&from=FROM&wait=true&client_name=me&tags=x%2Cy";
    assert.deepEqual(
      queries,
      ["1970-01-01T00%3A00%3A00.000Z", "-3"].map((from) => `/sse?key=k&${query.replace("FROM", from)}`),
    );
  });

  test("may leave holes in the numbers, and a position alone moves where to go on", async (t) => {
    const asked: (string | undefined)[] = [];
    const url = await startServer(t, (request, response) => {
      asked.push(request.headers["last-event-id"] as string | undefined);
      response.writeHead(200, sse);
      response.end(
        asked.length === 1 ? `retry: 1\n${frame(0, "start")}${frame(4)}id: 1-9\n\n` : frame(12, "end"),
      );
    });
    const events = await collect(subscribe({ url: `${url}/sse`, token: "t", events: ["token"] }));
    assert.deepEqual(
      events.map(({ id }) => id),
      ["1-0", "1-4", "1-12"],
    );
    assert.deepEqual(asked, [undefined, "1-9"]);
  });

  test("begins with the first event of a stream that is waited for, also after a broken connection", async (t) => {
    const asked: (string | undefined)[] = [];
    const url = await startServer(t, (request, response) => {
      asked.push(request.headers["last-event-id"] as string | undefined);
      response.writeHead(200, sse);
      response.end(asked.length === 1 ? "retry: 1\n:\n\n" : frame(0, "end"));
    });
    const options = { url: `${url}/sse?key=a/b`, token: "t", from: "now", wait: true };
    assert.equal((await collect(subscribe(options))).length, 1);
    assert.deepEqual(asked, [undefined, "a%2Fb:"]);
  });
});

describe("what is not the stream is an error", () => {
  const answering =
    (body: string, headers: http.OutgoingHttpHeaders = sse) =>
    (t: Parameters<typeof startServer>[0]) =>
      startServer(t, (_request, response) => response.writeHead(200, headers).end(body));

  const cases: [string, ReturnType<typeof answering>, object][] = [
    ["a number that is left out", answering(frame(0) + frame(2)), { name: "SubscribeError", code: "gap" }],
    [
      "a position that passes events",
      answering(`${frame(0)}id: 1-2\n\n`),
      { name: "SubscribeError", code: "gap" },
    ],
    ["a number that comes twice", answering(frame(0) + frame(0)), { name: "SubscribeError", code: "gap" }],
    ["a beginning that is not the first event", answering(frame(3)), { name: "SubscribeError", code: "gap" }],
    [
      "an event without an id",
      answering("event: token\ndata: x\n\n"),
      { name: "SubscribeError", code: "gap" },
    ],
    [
      "a missedevents that says nothing",
      answering("event: missedevents\ndata: {}\n\n"),
      { name: "SubscribeError", code: "gap" },
    ],
    [
      "another event than the one that missedevents announced",
      answering(`event: missedevents\ndata: {"after":null,"first":"1-5","missed":5}\n\n${frame(6)}`),
      { name: "SubscribeError", code: "gap" },
    ],
    [
      "a page",
      answering("<p>hello", { "Content-Type": "text/html" }),
      { name: "ApiError", code: "unexpected-answer" },
    ],
  ];
  for (const [name, server, expected] of cases) {
    test(name, async (t) => {
      const url = await server(t);
      await assert.rejects(collect(subscribe({ url: `${url}/sse`, token: "t" })), expected);
    });
  }
});

test("missedevents comes as an event that tells what is missing", async (t) => {
  const missed = { after: null, first: "1-5", missed: 5 };
  const url = await startServer(t, (_request, response) =>
    response
      .writeHead(200, sse)
      .end(`event: missedevents\ndata: ${JSON.stringify(missed)}\n\n${frame(5, "end")}`),
  );
  const events = await collect(subscribe({ url: `${url}/sse`, token: "t" }));
  assert.deepEqual(
    events.map(({ id, event, missed }) => ({ id, event, missed })),
    [
      { id: null, event: "missedevents", missed },
      { id: "1-5", event: "end", missed: null },
    ],
  );
});

test("a token that is refused as soon as it is made is the end", async (t) => {
  let asked = 0;
  const url = await startServer(t, (_request, response) =>
    response.writeHead(401).end(JSON.stringify({ code: "unauthorized", message: "No" })),
  );
  const token = () => {
    asked += 1;
    return "bad";
  };
  await assert.rejects(collect(subscribe({ url: `${url}/sse`, token })), (error) => {
    return error instanceof ApiError && error.code === "unauthorized";
  });
  assert.equal(asked, 1);
});

test("what the function for tokens throws is thrown", async (t) => {
  const url = await startServer(t, (_request, response) => response.end());
  const token = () => {
    throw new Error("not logged in");
  };
  await assert.rejects(collect(subscribe({ url: `${url}/sse`, token })), { message: "not logged in" });
});

test("a WebSocket that can't hold its sender back is closed when 1,000 events are unread, and nothing is lost", async (t) => {
  const total = 2_500;
  const asked: (string | null)[] = [];
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  t.after(() => server.close());
  await once(server, "listening");
  server.on("connection", (socket, request) => {
    const after = new URL(request.url ?? "", "ws://localhost").searchParams.get("last_event_id");
    asked.push(after);
    const first = after === null ? 0 : Number(after.split("-")[1]) + 1;
    socket.send("[]");
    for (let number = first; number <= total; number += 1) {
      socket.send(JSON.stringify({ id: `1-${number}`, event: number === total ? "end" : "token" }));
    }
    socket.close(1000);
  });
  const { port } = server.address() as { port: number };
  const events = subscribe({ url: `ws://127.0.0.1:${port}/ws`, token: "t", WebSocket: BrowserWebSocket });
  const numbers: number[] = [];
  for await (const { id } of events) {
    numbers.push(Number(id?.split("-")[1]));
    // By then all that was sent has come.
    if (numbers.length === 1)
      await until(() => server.clients.size === 0, "the client has closed the connection");
  }
  assert.deepEqual(
    numbers,
    Array.from({ length: total + 1 }, (_, number) => number),
  );
  assert.ok(asked.length > 1);
  assert.equal(asked[0], null);
  assert.ok(Number(asked[1]?.split("-")[1]) >= 1_000 - 1);
});

test("only URLs as the broker gives them are taken", () => {
  assert.throws(() => subscribe({ url: "http://127.0.0.1/api/stream", token: "t" }), TypeError);
  assert.throws(() => subscribe({ url: "http://127.0.0.1/constructor", token: "t" }), TypeError);
  assert.throws(() => subscribe({ url: "http://127.0.0.1/sse?key=a&key=b", token: "t" }), TypeError);
  assert.throws(() => subscribe({ url: "nonsense", token: "t" }), TypeError);
});

test("a SubscribeError is an Error with its cause", async (t) => {
  const url = await startServer(t, (request) => request.socket.destroy());
  const failure = await collect(subscribe({ url: `${url}/sse`, token: "t", giveUpAfterMs: 1 })).catch(
    (error) => error,
  );
  assert.ok(failure instanceof SubscribeError && failure.cause instanceof Error);
});
