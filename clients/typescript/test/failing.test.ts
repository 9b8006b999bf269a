import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { Client, type LogEntry, type PublishOptions, type Writer } from "tinistreamer";
import { WebSocket } from "ws";
import { noActiveStream, startRoutes } from "./routes.js";
import { startBroker, startServer, until } from "./support.js";

const failure = new Error("the model failed");
/** The data of the last event, which has no text of the error. */
const byDefault = '{"code":"error","message":"The producer failed"}';
const tokens = Array.from({ length: 300 }, (_, n) => String(n));

/** Writes without waiting, and throws. */
const failing = (writer: Writer) => {
  for (const token of tokens) void writer.write("token", token);
  throw failure;
};

const stored = async (client: Client) =>
  (await client.streamEvents("k")).map(({ event, data }) => data ?? event);

for (const transport of ["ndjson", "websocket"] as const) {
  describe(`a writer over ${transport}`, () => {
    const options = { transport, WebSocket };

    test("stores the events written before an error, and fails the stream", async (t) => {
      const { client } = await startBroker(t);
      await client.createStream("k");
      await assert.rejects(client.publish("k", failing, options), failure);
      assert.deepEqual(await stored(client), ["start", ...tokens, byDefault]);
    });

    test("stores the chunks that came before the source failed", async (t) => {
      const { client } = await startBroker(t);
      await client.createStream("k");
      let sent = 0;
      const source = new ReadableStream({
        pull(controller) {
          if (sent === tokens.length) throw failure;
          controller.enqueue(tokens[sent++]);
        },
      });
      await assert.rejects(source.pipeTo(client.publish("k", options).writable("token")), failure);
      assert.deepEqual(await stored(client), ["start", ...tokens, byDefault]);
    });

    test("drops the events that were not sent when the caller cancels", async (t) => {
      const { client } = await startBroker(t);
      await client.createStream("k");
      const writer = client.publish("k", options);
      for (const token of tokens) writer.write("token", token).catch(() => {});
      await writer.cancel();
      assert.deepEqual(await stored(client), ["start", "cancel"]);
    });
  });
}

test("a broker that does not respond delays an error by flushTimeoutMs at most", async (t) => {
  const paths: (string | undefined)[] = [];
  const url = await startServer(t, (request, response) => {
    paths.push(request.url?.split("?")[0]);
    // The upload gets no response.
    if (request.url === "/api/stream/fail")
      response.writeHead(200, { "Content-Type": "application/json" }).end('{"status":"failed"}');
  });
  const client = new Client({ url, apiKey: "k" });
  await assert.rejects(client.publish("k", failing, { flushTimeoutMs: 50, lease: 0 }), failure);
  await until(() => paths.length === 2, "both requests");
  assert.deepEqual(paths, ["/api/event/add/json-stream", "/api/stream/fail"]);
});

describe("what subscribers learn about an error", () => {
  const secret = new Error("the key sk-12345 is refused");

  /** The data of the last event, after a function that throws this. */
  async function lastAfter(
    t: TestContext,
    error: unknown,
    options: PublishOptions = {},
    onLog?: (entry: LogEntry) => void,
  ) {
    const { url, apiKey } = await startBroker(t);
    const client = new Client({ url, apiKey, onLog });
    await client.createStream("k");
    const failing = client.publish("k", () => Promise.reject(error), options);
    await assert.rejects(failing, (thrown) => thrown === error);
    const last = (await client.streamEvents("k")).at(-1);
    assert.equal(last?.event, "fail");
    assert.equal((await client.streamInfo("k")).status, "failed");
    return JSON.parse(last?.data ?? "");
  }

  test("has nothing of its text", async (t) => {
    const last = await lastAfter(t, secret);
    assert.deepEqual(last, { code: "error", message: "The producer failed" });
  });

  for (const aborted of [AbortSignal.abort().reason, new DOMException("", "AbortError")])
    test(`is that the producer was interrupted, by ${aborted}`, async (t) => {
      const last = await lastAfter(t, aborted);
      assert.deepEqual(last, { code: "interrupted", message: "The producer was interrupted" });
    });

  test("is what the option `failure` says", async (t) => {
    const seen: unknown[] = [];
    const failure = (error: unknown) => {
      seen.push(error);
      return { code: "model-overloaded", message: "Try again" };
    };
    assert.deepEqual(await lastAfter(t, secret, { failure }), {
      code: "model-overloaded",
      message: "Try again",
    });
    assert.deepEqual(seen, [secret]);
  });

  const bad: [string, () => { code: string }, RegExp][] = [
    [
      "throws",
      () => {
        throw new Error("oh");
      },
      /threw/,
    ],
    ["returns a code that the broker refuses", () => ({ code: "Not A Code" }), /refused/],
  ];
  for (const [what, failure, message] of bad)
    test(`is the default when the option \`failure\` ${what}`, async (t) => {
      const log: LogEntry[] = [];
      const last = await lastAfter(t, secret, { failure }, (entry) => log.push(entry));
      assert.deepEqual(last, { code: "error", message: "The producer failed" });
      assert.ok(log.some((entry) => entry.level === "warn" && message.test(entry.message)));
    });
});

describe("a writer can fail its stream", () => {
  test("with the events so far, and refuses others", async (t) => {
    const { client } = await startBroker(t);
    await client.createStream("k");
    const writer = client.publish("k");
    for (const token of tokens) void writer.write("token", token);
    const failed = writer.fail({ code: "model-overloaded", message: "Later" });
    await assert.rejects(writer.write("token"), { code: "writer-closed" });
    await failed;
    await writer.fail();
    const last = '{"code":"model-overloaded","message":"Later"}';
    assert.deepEqual(await stored(client), ["start", ...tokens, last]);
  });

  test("with the broker's default code", async (t) => {
    const { client } = await startBroker(t);
    await client.createStream("k");
    await client.publish("k", (writer) => writer.fail());
    assert.deepEqual(await stored(client), ["start", '{"code":"error","message":""}']);
  });

  test("without waiting for ever until the events are stored", async (t) => {
    const { client, to } = await startRoutes(t, { "/api/event/add/json-stream": () => undefined });
    const writer = client.publish("k", { flushTimeoutMs: 50 });
    await writer.write("token", "a");
    await writer.fail({ code: "late" });
    assert.deepEqual(to("/api/stream/fail")[0]?.body, { key: "k", code: "late" });
  });

  test("and tries again when the broker is away", async (t) => {
    const answers: [number, unknown][] = [
      [503, { code: "store-unavailable", message: "Away" }],
      [200, { status: "failed" }],
    ];
    const { client, to } = await startRoutes(t, { "/api/stream/fail": () => answers.shift() });
    await client.publish("k").fail();
    assert.equal(to("/api/stream/fail").length, 2);
  });

  test("or learn that the broker refuses the code, and try again", async (t) => {
    const { client } = await startBroker(t);
    await client.createStream("k");
    const writer = client.publish("k");
    await assert.rejects(writer.fail({ code: "Not A Code" }), { code: "invalid-request" });
    await writer.fail({ code: "a-code" });
    assert.deepEqual(await stored(client), ["start", '{"code":"a-code","message":""}']);
  });
});

describe("to cancel or fail a stream that is finished already", () => {
  for (const finish of ["endStream", "cancelStream", "failStream"] as const)
    test(`is a success, after ${finish}`, async (t) => {
      const { client } = await startBroker(t);
      await client.createStream("k");
      await client[finish]("k");
      const { status } = await client.streamInfo("k");
      await client.publish("k").cancel({ reason: "late" });
      await client.publish("k").fail();
      assert.equal((await client.streamInfo("k")).status, status);
    });

  test("is a success with an older broker, which does not say how it was finished", async (t) => {
    const { client } = await startRoutes(t, {
      "/api/stream/cancel": () => noActiveStream(),
      "/api/stream/info": () => [200, { key: "k", status: "ended" }],
    });
    await client.publish("k").cancel();
  });

  test("is an error without a stream", async (t) => {
    const { client } = await startBroker(t);
    await assert.rejects(client.publish("k").cancel(), { code: "no-active-stream" });
    await assert.rejects(client.publish("k").fail(), { code: "no-active-stream" });
  });
});

test("cancelling says why, and who", async (t) => {
  const { client } = await startBroker(t);
  await client.createStream("k");
  await client.publish("k").cancel({ reason: "enough", by: "user-7" });
  assert.deepEqual(await stored(client), ["start", '{"reason":"enough","by":"user-7"}']);
});

test("an error of the function is not lost when the stream can't be failed", async (t) => {
  const { client } = await startRoutes(t, {
    "/api/stream/fail": () => [403, { code: "forbidden", message: "No" }],
  });
  await assert.rejects(client.publish("k", failing), (error: AggregateError) => {
    assert.equal(error.errors[0], failure);
    return error.errors[1].code === "forbidden";
  });
});
