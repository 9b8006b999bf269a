import assert from "node:assert/strict";
import { once } from "node:events";
import type http from "node:http";
import { describe, test } from "node:test";
import { ApiError, SubscribeError, subscribe } from "tinistreamer/subscribe";
import { WebSocketServer } from "ws";
import { BrowserWebSocket, collect, startServer, until } from "./support.js";

/** An event as text of server-sent events. */
const frame = (number: number, event = "token", data = "") =>
  `id: 1-${number}\nevent: ${event}\ndata: ${data}\n\n`;

const sse = { "Content-Type": "text/event-stream" };

describe("a connection that breaks", () => {
  test("is replaced by one that continues after the last event that was handed out", async (t) => {
    const requests: (string | undefined)[] = [];
    const url = await startServer(t, (request, response) => {
      requests.push(request.headers["last-event-id"] as string | undefined);
      response.writeHead(200, sse);
      if (requests.length === 1)
        response.write(`retry: 1\n${frame(0, "start")}${frame(1)}id: 1-2\nevent: half`);
      else response.write(frame(requests.length, requests.length === 3 ? "end" : "token"));
      response.end();
    });
    const events = await collect(subscribe({ url: `${url}/sse`, token: "t" }));
    assert.deepEqual(
      events.map(({ id }) => id),
      ["1-0", "1-1", "1-2", "1-3"],
    );
    assert.deepEqual(requests, [undefined, "1-1", "1-2"]);
  });

  test("fails as disconnected when nothing is received for too long", async (t) => {
    const url = await startServer(t, (request) => request.socket.destroy());
    const events = subscribe({ url: `${url}/sse`, token: "t", giveUpAfterMs: 50 });
    await assert.rejects(collect(events), { name: "SubscribeError", code: "disconnected" });
  });

  test("is replaced when it has been silent for too long", async (t) => {
    const url = await startServer(t, (request, response) => {
      const after = request.headers["last-event-id"];
      response.writeHead(200, sse);
      response.write(after === undefined ? `retry: 1\n${frame(0, "start")}` : frame(1, "end"));
    });
    const events = await collect(subscribe({ url: `${url}/sse`, token: "t", silenceMs: 50 }));
    assert.deepEqual(
      events.map(({ event }) => event),
      ["start", "end"],
    );
  });
});

describe("a subscription", () => {
  test("puts its options into the query", async (t) => {
    const queries: string[] = [];
    const url = await startServer(t, (request, response) => {
      queries.push(request.url ?? "");
      response.writeHead(204).end();
    });
    const parameters = { events: ["a b", "c*"], wait: true, clientName: "me", tags: ["x", "y"] };
    const options = { url: `${url}/sse?key=k`, token: "t", ...parameters };
    await collect(subscribe({ ...options, from: new Date(0) }));
    await collect(subscribe({ ...options, from: "-3" }));
    const query = "events=a+b%2Cc*&from=FROM&wait=true&client_name=me&tags=x%2Cy";
    assert.deepEqual(
      queries,
      ["1970-01-01T00%3A00%3A00.000Z", "-3"].map(
        (from) => `/sse?key=k&${query.replace("FROM", from)}`,
      ),
    );
  });

  test("with an event names filter allows gaps, and moves past filtered events", async (t) => {
    const requests: (string | undefined)[] = [];
    const url = await startServer(t, (request, response) => {
      requests.push(request.headers["last-event-id"] as string | undefined);
      response.writeHead(200, sse);
      response.end(
        requests.length === 1
          ? `retry: 1\n${frame(0, "start")}${frame(4)}id: 1-9\n\n`
          : frame(12, "end"),
      );
    });
    const events = await collect(subscribe({ url: `${url}/sse`, token: "t", events: ["token"] }));
    assert.deepEqual(
      events.map(({ id }) => id),
      ["1-0", "1-4", "1-12"],
    );
    assert.deepEqual(requests, [undefined, "1-9"]);
  });

  test("that waits for a stream starts with its first event, also after a break", async (t) => {
    const requests: (string | undefined)[] = [];
    const url = await startServer(t, (request, response) => {
      requests.push(request.headers["last-event-id"] as string | undefined);
      response.writeHead(200, sse);
      response.end(requests.length === 1 ? "retry: 1\n:\n\n" : frame(0, "end"));
    });
    const options = { url: `${url}/sse?key=a/b`, token: "t", from: "now", wait: true };
    assert.equal((await collect(subscribe(options))).length, 1);
    assert.deepEqual(requests, [undefined, "a%2Fb:"]);
  });
});

describe("a response that is not the stream is an error", () => {
  const answering =
    (body: string, headers: http.OutgoingHttpHeaders = sse) =>
    (t: Parameters<typeof startServer>[0]) =>
      startServer(t, (_request, response) => response.writeHead(200, headers).end(body));

  const cases: [string, ReturnType<typeof answering>, object][] = [
    ["a missing number", answering(frame(0) + frame(2)), { name: "SubscribeError", code: "gap" }],
    [
      "a position that skips events",
      answering(`${frame(0)}id: 1-2\n\n`),
      { name: "SubscribeError", code: "gap" },
    ],
    [
      "a number that repeats",
      answering(frame(0) + frame(0)),
      { name: "SubscribeError", code: "gap" },
    ],
    [
      "a start that is not the first event",
      answering(frame(3)),
      { name: "SubscribeError", code: "gap" },
    ],
    [
      "an event without an id",
      answering("event: token\ndata: x\n\n"),
      { name: "SubscribeError", code: "gap" },
    ],
    [
      "a missedevents without content",
      answering("event: missedevents\ndata: {}\n\n"),
      { name: "SubscribeError", code: "gap" },
    ],
    [
      "another event than the one that missedevents announced",
      answering(
        `event: missedevents\ndata: {"after":null,"first":"1-5","missed":5}\n\n${frame(6)}`,
      ),
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

test("missedevents is an event that contains what is missing", async (t) => {
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

test("a new token that is refused ends the iteration", async (t) => {
  let requests = 0;
  const url = await startServer(t, (_request, response) =>
    response.writeHead(401).end(JSON.stringify({ code: "unauthorized", message: "No" })),
  );
  const token = () => {
    requests += 1;
    return "bad";
  };
  await assert.rejects(collect(subscribe({ url: `${url}/sse`, token })), (error) => {
    return error instanceof ApiError && error.code === "unauthorized";
  });
  assert.equal(requests, 1);
});

test("an error of the token function ends the iteration", async (t) => {
  const url = await startServer(t, (_request, response) => response.end());
  const token = () => {
    throw new Error("not logged in");
  };
  await assert.rejects(collect(subscribe({ url: `${url}/sse`, token })), {
    message: "not logged in",
  });
});

test("a WebSocket that can't pause is closed at 1,000 unread events", async (t) => {
  const total = 2_500;
  const requests: (string | null)[] = [];
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  t.after(() => server.close());
  await once(server, "listening");
  server.on("connection", (socket, request) => {
    const after = new URL(request.url ?? "", "ws://localhost").searchParams.get("last_event_id");
    requests.push(after);
    const first = after === null ? 0 : Number(after.split("-")[1]) + 1;
    socket.send("[]");
    for (let number = first; number <= total; number += 1) {
      socket.send(JSON.stringify({ id: `1-${number}`, event: number === total ? "end" : "token" }));
    }
    socket.close(1000);
  });
  const { port } = server.address() as { port: number };
  const events = subscribe({
    url: `ws://127.0.0.1:${port}/ws`,
    token: "t",
    WebSocket: BrowserWebSocket,
  });
  const numbers: number[] = [];
  for await (const { id } of events) {
    numbers.push(Number(id?.split("-")[1]));
    // By then all messages have arrived.
    if (numbers.length === 1)
      await until(() => server.clients.size === 0, "the subscriber has closed the connection");
  }
  assert.deepEqual(
    numbers,
    Array.from({ length: total + 1 }, (_, number) => number),
  );
  assert.ok(requests.length > 1);
  assert.equal(requests[0], null);
  assert.ok(Number(requests[1]?.split("-")[1]) >= 1_000 - 1);
});

test("a SubscribeError is an Error with its cause", async (t) => {
  const url = await startServer(t, (request) => request.socket.destroy());
  const failure = await collect(
    subscribe({ url: `${url}/sse`, token: "t", giveUpAfterMs: 1 }),
  ).catch((error) => error);
  assert.ok(failure instanceof SubscribeError && failure.cause instanceof Error);
});
