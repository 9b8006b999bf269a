import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ApiError, Client, UnreachableError } from "tinistreamer";
import { collect, startBroker, startServer } from "./support.js";

test("every call works on a real broker", async (t) => {
  const { client } = await startBroker(t);
  assert.equal(await client.ready(), "OK");
  assert.equal((await client.brokerInfo()).store, "memory");
  const key = "chat/1 & ü?#%2F";
  const access = await client.createStream(key, { ttl: 60, max_events: 100 });
  assert.equal(new URL(access.sse_url).searchParams.get("key"), key);
  assert.notEqual((await client.issueToken(key, { ttl: 30 })).token, access.token);
  const added = await client.addEvents(key, [{ event: "one" }, { event: "two", data: { a: 1 } }]);
  assert.equal(added.num_events, 2);
  const state = await client.streamInfo(key);
  assert.deepEqual([state.key, state.status, state.last_id], [key, "active", added.ids[1]]);
  assert.deepEqual(
    (await client.streamEvents(key)).map(({ data }) => data),
    [undefined, undefined, '{"a":1}'],
  );
  await client.createStream("other");
  assert.deepEqual(
    (await client.listStreams()).map(({ key }) => key),
    [key, "other"],
  );
  assert.deepEqual(
    (await client.listStreams("oth*")).map(({ key }) => key),
    ["other"],
  );
  assert.deepEqual(await client.endStream(key), { status: "ended" });
  assert.deepEqual(await client.cancelStream("other"), { status: "cancelled" });
});

test("a backend follows a stream without issuing tokens itself", async (t) => {
  const { client } = await startBroker(t);
  await client.createStream("k");
  await client.endStream("k");
  assert.deepEqual(
    (await collect(client.subscribe("k"))).map(({ event }) => event),
    ["start", "end"],
  );
});

test("a backend follows several streams, and adds streams that its tokens open", async (t) => {
  const { client } = await startBroker(t);
  for (const key of ["room-1", "room-2", "room-3"]) {
    await client.createStream(key);
    await client.endStream(key);
  }
  const listed = await collect(client.subscribeMany(["room-1", "room-2"]));
  assert.deepEqual(listed.map(({ key, event }) => `${key} ${event}`).sort(), [
    "room-1 end",
    "room-1 start",
    "room-2 end",
    "room-2 start",
  ]);
  const events = client.subscribeMany([], { prefix: "room-" });
  await events.add("room-3");
  assert.equal((await collect(events)).length, 2);
  const waiting = client.subscribeMany(["room-4"], { wait: true });
  const all = collect(waiting);
  await client.createStream("room-4");
  await client.cancelStream("room-4");
  assert.equal((await all).length, 2);
  assert.equal(waiting.statuses.get("room-4"), "cancelled");
});

describe("an error", () => {
  test("of the broker is an ApiError with its status, code and message", async (t) => {
    const { client } = await startBroker(t);
    const error = await client.streamInfo("unknown").catch((error) => error);
    assert.ok(error instanceof ApiError && error instanceof Error);
    assert.deepEqual(
      [error.status, error.code, error.retryAfter],
      [404, "stream-not-found", undefined],
    );
    assert.ok(error.message);
  });

  const retryAfters: [string, (value: number | undefined) => boolean][] = [
    ["7", (value) => value === 7],
    ["Wed, 21 Oct 2099 07:28:00 GMT", (value) => value !== undefined && value > 1e9],
    ["soon", (value) => value === undefined],
  ];
  for (const [header, good] of retryAfters) {
    test(`has the seconds of "Retry-After: ${header}"`, async (t) => {
      const url = await startServer(t, (_request, response) =>
        response
          .writeHead(503, { "Retry-After": header })
          .end('{"code":"store-unavailable","message":"Away"}'),
      );
      const error = await new Client({ url, apiKey: "k" }).brokerInfo().catch((error) => error);
      assert.ok(error instanceof ApiError && good(error.retryAfter));
    });
  }

  test("of a proxy is an ApiError with the code unexpected-answer", async (t) => {
    const url = await startServer(t, (_request, response) =>
      response.writeHead(502).end("<h1>Bad Gateway</h1>"),
    );
    const error = await new Client({ url, apiKey: "k" }).endStream("k").catch((error) => error);
    assert.ok(error instanceof ApiError);
    assert.deepEqual([error.status, error.code], [502, "unexpected-answer"]);
  });

  test("is an UnreachableError when there is no broker, or its response breaks off", async (t) => {
    const servers = [
      await startServer(t, (request) => request.socket.destroy()),
      await startServer(t, (request, response) => {
        response
          .writeHead(200, { "Content-Length": 100 })
          .write("{", () => request.socket.destroy());
      }),
    ];
    for (const url of servers) {
      const error = await new Client({ url, apiKey: "k" }).brokerInfo().catch((error) => error);
      assert.ok(error instanceof UnreachableError && error.cause !== undefined);
      assert.equal(error.code, "unreachable");
    }
  });

  test("is the signal's reason when a call is aborted", async (t) => {
    const url = await startServer(t, () => {});
    const abort = new AbortController();
    const call = new Client({ url, apiKey: "k" }).brokerInfo({ signal: abort.signal });
    abort.abort(new Error("enough"));
    await assert.rejects(call, { message: "enough" });
  });
});

test("a client at a path sends requests below that path, with the given fetch", async () => {
  const urls: string[] = [];
  const fetch = async (request: RequestInfo | URL) => {
    urls.push((request as Request).url);
    return Response.json([]);
  };
  await new Client({ url: "http://broker.test/streams/", apiKey: "k", fetch }).listStreams("a*");
  assert.deepEqual(urls, ["http://broker.test/streams/api/stream?pattern=a*"]);
});

test("the types that are generated from the OpenAPI document are not stale", async () => {
  const folder = fileURLToPath(new URL("..", import.meta.url));
  await promisify(execFile)("npm", ["run", "--silent", "generate:check"], { cwd: folder });
});

test("the error for an incomplete client names the missing option", () => {
  const none = undefined as unknown as string;
  const url = "http://127.0.0.1:8000";
  assert.throws(() => new Client({ url: none, apiKey: "k" }), {
    name: "TypeError",
    message: /`url`/,
  });
  assert.throws(() => new Client({ url: "127.0.0.1:8000", apiKey: "k" }), {
    name: "TypeError",
    message: /http:/,
  });
  assert.throws(() => new Client({ url: "broker", apiKey: "k" }), {
    name: "TypeError",
    message: /"broker"/,
  });
  for (const apiKey of [none, ""])
    assert.throws(() => new Client({ url, apiKey }), { name: "TypeError", message: /`apiKey`/ });
});
