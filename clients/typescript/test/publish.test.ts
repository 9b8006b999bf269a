import assert from "node:assert/strict";
import type http from "node:http";
import { describe, test } from "node:test";
import { Client, PublishError, type Writer } from "tinistreamer";
import { WebSocket as UndiciWebSocket } from "undici";
import { WebSocket } from "ws";
import { BrowserWebSocket, startBroker, startServer, until } from "./support.js";

const stored = async (client: Client) =>
  (await client.streamEvents("k")).map(({ event, data }) => data ?? event);

const ways = {
  ndjson: { transport: "ndjson", WebSocket: undefined },
  "the WebSocket of ws": { transport: "websocket", WebSocket },
  "the WebSocket of undici": { transport: "websocket", WebSocket: UndiciWebSocket },
} as const;

for (const [way, options] of Object.entries(ways)) {
  describe(`over ${way}`, () => {
    test("events are stored and acknowledged, and a return ends the stream", async (t) => {
      const { client } = await startBroker(t);
      await client.createStream("k");
      const counts: number[] = [];
      const result = await client.publish(
        "k",
        async (writer) => {
          for (let n = 0; n < 50; n += 1) void writer.write("token", n);
          await writer.flush();
          assert.deepEqual([writer.acknowledged, writer.pending], [50, 0]);
          await writer.write("token", "last");
          return "done";
        },
        { ...options, maxPending: 7, onAck: ({ count }) => counts.push(count) },
      );
      assert.equal(result, "done");
      const numbers = Array.from({ length: 50 }, (_, n) => String(n));
      assert.deepEqual(await stored(client), ["start", ...numbers, "last", "end"]);
      assert.deepEqual(
        counts,
        counts.toSorted((a, b) => a - b),
      );
      assert.equal(counts.at(-1), 51);
    });

    test("the stream fails when the function throws, and it throws, too", async (t) => {
      const { client } = await startBroker(t);
      await client.createStream("k");
      const failing = client.publish(
        "k",
        async (writer) => {
          await writer.write("token", "half an ans");
          await writer.flush();
          throw new Error("the model failed");
        },
        options,
      );
      await assert.rejects(failing, { message: "the model failed" });
      assert.equal((await client.streamInfo("k")).status, "failed");
    });

    test("a stream that is not active fails the writer with the broker's code", async (t) => {
      const { client } = await startBroker(t);
      const writer = client.publish("k", options);
      await writer.write("token", "x");
      await assert.rejects(writer.flush(), {
        name: "PublishError",
        code: "no-active-stream",
        acknowledged: 0,
      });
      await assert.rejects(writer.write("token", "y"), { code: "no-active-stream" });
    });

    test("closing leaves the stream active, with all written events", async (t) => {
      const { client } = await startBroker(t);
      await client.createStream("k");
      for (const data of ["a", "b"]) {
        const writer = client.publish("k", options);
        await writer.write("token", data);
        await writer.close();
      }
      assert.deepEqual(await stored(client), ["start", "a", "b"]);
      assert.equal((await client.streamInfo("k")).status, "active");
    });

    test("an error of onAck makes the writer fail", async (t) => {
      const { client } = await startBroker(t);
      await client.createStream("k");
      const writer = client.publish("k", {
        ...options,
        onAck: () => {
          throw new Error("oh");
        },
      });
      await writer.write("token");
      await assert.rejects(writer.flush(), /oh/);
    });
  });
}

describe("a writer", () => {
  const refused: [string, string, unknown, string][] = [
    ["a name of the broker's", "end", "x", "reserved-event"],
    ["no name", "", "x", "invalid-event"],
    ["a name of more than 128 bytes", "ü".repeat(65), "x", "invalid-event"],
    ["a name with a control character", "a\u0085", "x", "invalid-event"],
    ["data that JSON can't say", "token", () => {}, "invalid-event"],
  ];
  for (const [what, event, data, code] of refused) {
    test(`refuses ${what}, and goes on`, async (t) => {
      const { client } = await startBroker(t);
      await client.createStream("k");
      await client.publish("k", async (writer) => {
        await assert.rejects(writer.write(event, data), { name: "PublishError", code });
        await writer.write("token", "good");
      });
      assert.deepEqual(await stored(client), ["start", "good", "end"]);
    });
  }

  test("refuses events after it was finished, and can be finished twice", async (t) => {
    const { client } = await startBroker(t);
    await client.createStream("k");
    const writer = client.publish("k");
    await writer.finish();
    await writer.finish();
    await assert.rejects(writer.write("token"), { code: "writer-closed" });
    await assert.rejects(writer.cancel(), { code: "writer-closed" });
  });

  test("finishes its stream at the end of an `await using` block", async (t) => {
    const { client } = await startBroker(t);
    await client.createStream("k");
    {
      await using writer = client.publish("k");
      await writer.write("token", "x");
    }
    assert.deepEqual(await stored(client), ["start", "x", "end"]);
  });

  test("that has reported its failure does not throw again after `await using`", async (t) => {
    const { client } = await startBroker(t);
    const block = async () => {
      await using writer = client.publish("k");
      await writer.write("token", "x");
      await writer.flush();
    };
    await assert.rejects(block(), { name: "PublishError", code: "no-active-stream" });
  });

  test("that has failed unnoticed throws after an `await using` block", async (t) => {
    const { client } = await startBroker(t);
    const block = async () => {
      await using writer = client.publish("k");
      await writer.write("token", "x");
    };
    await assert.rejects(block(), { name: "PublishError", code: "no-active-stream" });
  });

  test("takes chunks from an iterable", async (t) => {
    const { client } = await startBroker(t);
    await client.createStream("k");
    async function* answer() {
      yield "a";
      yield { b: 1 };
    }
    await client.publish("k", (writer) => writer.pipeFrom(answer(), "token"));
    assert.deepEqual(await stored(client), ["start", "a", '{"b":1}', "end"]);
  });

  test("finishes the stream at the end of a pipe", async (t) => {
    const { client } = await startBroker(t);
    await client.createStream("k");
    await new Blob(["abc"])
      .stream()
      .pipeThrough(new TextDecoderStream())
      .pipeTo(client.publish("k").writable("token"));
    assert.deepEqual(await stored(client), ["start", "abc", "end"]);
  });

  test("fails the stream when a pipe breaks", async (t) => {
    const { client } = await startBroker(t);
    await client.createStream("k");
    const broken = new ReadableStream({
      pull() {
        throw new Error("broken");
      },
    });
    await assert.rejects(broken.pipeTo(client.publish("k").writable("token")), {
      message: "broken",
    });
    await until(
      async () => (await client.streamInfo("k")).status === "failed",
      "the stream has failed",
    );
  });

  test("does not put the API key into a URL when a WebSocket rejects headers", async (t) => {
    const { client } = await startBroker(t);
    await client.createStream("k");
    BrowserWebSocket.urls = [];
    const writer = client.publish("k", { transport: "websocket", WebSocket: BrowserWebSocket });
    await writer.write("token");
    await assert.rejects(writer.flush(), { name: "PublishError", message: /header/ });
    assert.deepEqual(BrowserWebSocket.urls, []);
  });
});

/** A server without leases that answers uploads as the test sets, and records them. */
async function startFakeBroker(t: Parameters<typeof startServer>[0]) {
  const uploads: {
    query: URLSearchParams;
    lines: string[];
    answer: (response: object, status?: number) => void;
  }[] = [];
  const url = await startServer(t, async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    if (request.url === "/api/stream/renew") return void response.writeHead(404).end();
    uploads.push({
      query: new URL(request.url ?? "", "http://localhost").searchParams,
      lines: body.trimEnd().split("\n"),
      answer: (answer, status = 200) =>
        response
          .writeHead(status, { "Content-Type": "application/json" })
          .end(JSON.stringify(answer)),
    });
  });
  const client = new Client({ url, apiKey: "k" });
  const upload = async (number: number) => {
    await until(() => uploads.length > number, `upload ${number}`);
    return uploads[number] as (typeof uploads)[number];
  };
  return { client, uploads, upload };
}

const summary = (num_events: number, num_duplicates = 0) => ({
  ids: [],
  num_events,
  num_duplicates,
  num_errors: 0,
  errors: [],
  last_id: num_events > 0 ? "1-1" : null,
});

describe("over NDJSON", () => {
  const write = (writer: Writer, ...names: string[]) =>
    Promise.all(names.map((name) => writer.write(name)));
  const line = (event: string) => JSON.stringify({ event });

  test("one request at a time: events written meanwhile go into the next one", async (t) => {
    const { client, uploads, upload } = await startFakeBroker(t);
    const writer = client.publish("k");
    await write(writer, "a", "b");
    const first = await upload(0);
    await write(writer, "c");
    await write(writer, "d");
    assert.equal(uploads.length, 1);
    first.answer(summary(2));
    const second = await upload(1);
    second.answer(summary(2));
    await writer.flush();
    assert.deepEqual(
      uploads.map(({ lines }) => lines),
      [
        [line("a"), line("b")],
        [line("c"), line("d")],
      ],
    );
    assert.deepEqual(
      uploads.map(({ query }) => query.get("sequence")),
      ["0", "2"],
    );
  });

  test("after a temporary failure unacknowledged events are sent again", async (t) => {
    const { client, uploads, upload } = await startFakeBroker(t);
    const acks: object[] = [];
    const writer = client.publish("k", { onAck: (ack) => acks.push(ack) });
    await write(writer, "a");
    (await upload(0)).answer(summary(1));
    await writer.flush();
    await write(writer, "b");
    (await upload(1)).answer({ code: "store-unavailable", message: "Away" }, 503);
    await write(writer, "c");
    (await upload(2)).answer(summary(1, 1));
    await writer.flush();
    assert.deepEqual(
      uploads.map(({ lines }) => lines),
      [[line("a")], [line("b")], [line("b"), line("c")]],
    );
    assert.deepEqual(
      uploads.map(({ query }) => query.get("sequence")),
      ["0", "1", "1"],
    );
    assert.equal(new Set(uploads.map(({ query }) => query.get("producer"))).size, 1);
    assert.match(uploads[0]?.query.get("producer") ?? "", /^[\w-]{1,64}$/);
    assert.deepEqual(acks, [
      { count: 1, lastId: "1-1" },
      { count: 3, lastId: "1-1" },
    ]);
  });

  test("write waits when too much is unacknowledged", async (t) => {
    const { client, upload } = await startFakeBroker(t);
    const writer = client.publish("k", { maxPending: 2 });
    await write(writer, "a", "b");
    let waited = true;
    const third = writer.write("c").then(() => {
      waited = writer.acknowledged === 0;
    });
    (await upload(0)).answer(summary(2));
    await third;
    assert.equal(waited, false);
    (await upload(1)).answer(summary(1));
    await writer.flush();
  });

  test("a rejected event fails the writer, with the acknowledged count", async (t) => {
    const { client, upload } = await startFakeBroker(t);
    const writer = client.publish("k");
    await write(writer, "a", "b");
    (await upload(0)).answer({ ...summary(1), num_errors: 1, errors: ["line 2: too long"] });
    await assert.rejects(writer.flush(), {
      code: "invalid-event",
      message: /line 2: too long/,
      acknowledged: 1,
    });
  });

  test("cancelling rejects waiting callers, and drops unsent events", async (t) => {
    const { client, uploads, upload } = await startFakeBroker(t);
    const writer = client.publish("k", { maxPending: 1 });
    await write(writer, "a");
    const waiting = assert.rejects(writer.write("b"), { code: "writer-closed" });
    await upload(0);
    const cancelled = writer.cancel();
    (await upload(1)).answer({ status: "cancelled" });
    await cancelled;
    await waiting;
    assert.deepEqual(
      uploads.map(({ lines }) => lines),
      [[line("a")], ['{"key":"k"}']],
    );
  });
});

test("a writer gives up when the broker can't be reached for too long", async (t) => {
  const url = await startServer(t, (request) => request.socket.destroy());
  const writer = new Client({ url, apiKey: "k" }).publish("k", { retryForMs: 100 });
  await writer.write("token");
  const failure = await writer.flush().catch((error) => error);
  assert.ok(failure instanceof PublishError);
  assert.deepEqual([failure.code, failure.acknowledged], ["unreachable", 0]);
});

test("a writer's API key goes only into the header", async (t) => {
  const seen: http.IncomingMessage[] = [];
  const url = await startServer(t, (request, response) => {
    seen.push(request);
    response
      .writeHead(404, { "Content-Type": "application/json" })
      .end('{"code":"no-active-stream","message":"None"}');
  });
  for (const options of Object.values(ways)) {
    const writer = new Client({ url, apiKey: "secret-key" }).publish("k", options);
    await writer.write("token");
    await assert.rejects(writer.flush(), { code: "no-active-stream" });
  }
  assert.ok(seen.length >= 3);
  for (const { url = "", headers } of seen) {
    assert.equal(headers["x-api-key"], "secret-key");
    assert.ok(!url.includes("secret-key"));
  }
});
