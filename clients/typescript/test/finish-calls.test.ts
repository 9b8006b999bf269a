import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ApiError, Client, PublishError } from "tinistreamer";
import { WebSocket } from "ws";
import { startBroker, startServer } from "./support.js";

const lastOf = async (client: Client, key: string) => (await client.streamEvents(key)).at(-1);

describe("the calls that finish a stream", () => {
  test("give their data to the last event", async (t) => {
    const { client } = await startBroker(t);
    for (const key of ["a", "b", "c"]) await client.createStream(key);
    assert.deepEqual(await client.endStream("a", { data: { tokens: 2 } }), { status: "ended" });
    assert.deepEqual(await client.cancelStream("b", { reason: "enough", by: "user-7" }), {
      status: "cancelled",
    });
    assert.deepEqual(await client.failStream("c", { code: "overloaded", message: "Later" }), {
      status: "failed",
    });
    const lasts = await Promise.all(["a", "b", "c"].map((key) => lastOf(client, key)));
    assert.deepEqual(
      lasts.map((last) => [last?.event, JSON.parse(last?.data ?? "")]),
      [
        ["end", { tokens: 2 }],
        ["cancel", { reason: "enough", by: "user-7" }],
        ["fail", { code: "overloaded", message: "Later" }],
      ],
    );
    const { status, reason } = await client.streamInfo("c");
    assert.deepEqual([status, (reason as { code: string }).code], ["failed", "overloaded"]);
  });

  test("succeed for a finished stream, and return the status that it has", async (t) => {
    const { client } = await startBroker(t);
    await client.createStream("k");
    await client.failStream("k");
    for (const finish of ["endStream", "cancelStream", "failStream"] as const)
      assert.deepEqual(await client[finish]("k"), { status: "failed" });
    const added = await client.addEvents("k", [{ event: "x" }]).catch((error) => error);
    assert.ok(added instanceof ApiError);
    assert.deepEqual([added.code, added.streamStatus], ["no-active-stream", "failed"]);
  });

  test("fail without a stream, as with an older broker", async (t) => {
    const { client } = await startBroker(t);
    const none = { name: "ApiError", code: "no-active-stream", streamStatus: undefined };
    await assert.rejects(client.endStream("k"), none);
    await assert.rejects(client.cancelStream("k"), none);
    await assert.rejects(client.failStream("k"), none);
  });

  test("leave a stream of another generation alone", async (t) => {
    const { client } = await startBroker(t);
    const { generation = "" } = await client.createStream("k");
    assert.match(generation, /^[0-9a-f]{32}$/);
    await client.endStream("k", { generation });
    await client.createStream("k");
    const stale = { status: 409, code: "stale-generation" };
    await assert.rejects(client.endStream("k", { generation }), stale);
    await assert.rejects(client.cancelStream("k", { generation }), stale);
    await assert.rejects(client.failStream("k", { generation }), stale);
    await assert.rejects(client.addEvents("k", [{ event: "x" }], { generation }), stale);
    assert.equal((await client.streamInfo("k")).status, "active");
  });
});

describe("creating a stream", () => {
  test("can attach to the stream at the key, or replace it", async (t) => {
    const { client } = await startBroker(t);
    const first = await client.createStream("k");
    const attached = await client.createStream("k", { if_exists: "attach" });
    assert.deepEqual([first.created, attached.created], [true, false]);
    assert.equal(attached.generation, first.generation);
    const replaced = await client.createStream("k", { if_exists: "replace" });
    assert.equal(replaced.created, true);
    assert.notEqual(replaced.generation, first.generation);
    await client.failStream("k");
    const error = await client.createStream("k", { if_finished: "error" }).catch((error) => error);
    assert.deepEqual([error.code, error.streamStatus], ["existing-stream", "failed"]);
  });

  test("can be repeated with the same request_id", async (t) => {
    const { client } = await startBroker(t);
    const create = () => client.createStream("k", { request_id: "r1" });
    const [one, two] = [await create(), await create()];
    assert.deepEqual([two.created, two.generation], [true, one.generation]);
  });
});

const ways = {
  ndjson: { transport: "ndjson", WebSocket: undefined },
  websocket: { transport: "websocket", WebSocket },
} as const;

for (const [way, options] of Object.entries(ways)) {
  describe(`a writer over ${way}, whose stream somebody else has failed`, () => {
    test("fails with the status of the stream", async (t) => {
      const { client } = await startBroker(t);
      await client.createStream("k");
      const writing = client.publish(
        "k",
        async (writer) => {
          await writer.write("token", "half");
          await writer.flush();
          await client.failStream("k");
          await writer.write("token", "more");
          await writer.flush();
        },
        options,
      );
      const error = await writing.catch((error) => error);
      assert.ok(error instanceof PublishError);
      assert.deepEqual(
        [error.code, error.streamStatus, error.acknowledged],
        ["no-active-stream", "failed", 1],
      );
      assert.equal((await client.streamInfo("k")).status, "failed");
    });

    test("does not take it for complete when nothing is left to write", async (t) => {
      const { client } = await startBroker(t);
      await client.createStream("k");
      const writing = client.publish("k", () => client.failStream("k"), options);
      await assert.rejects(writing, { code: "no-active-stream", streamStatus: "failed" });
    });

    test("throws the function's own error, because the stream has failed already", async (t) => {
      const { client } = await startBroker(t);
      await client.createStream("k");
      const failing = client.publish(
        "k",
        async () => {
          await client.failStream("k");
          throw new Error("the model failed");
        },
        options,
      );
      await assert.rejects(failing, { name: "Error", message: "the model failed" });
    });

    test("writes only into the generation that it is for", async (t) => {
      const { client } = await startBroker(t);
      const { generation } = await client.createStream("k");
      const writer = client.publish("k", { ...options, generation });
      await writer.write("token", "x");
      await writer.flush();
      await client.createStream("k", { if_exists: "replace" });
      await assert.rejects(writer.finish(), { name: "PublishError", code: "stale-generation" });
      const other = client.publish("k", { ...options, generation });
      await other.write("token", "x");
      await assert.rejects(other.flush(), { name: "PublishError", code: "stale-generation" });
      assert.equal((await client.streamEvents("k")).length, 1);
    });
  });
}

for (const name of ["fail", "abandon"]) {
  test(`a writer refuses an event named ${name} before it sends it`, async () => {
    const writer = new Client({ url: "http://127.0.0.1:1", apiKey: "k" }).publish("k");
    await assert.rejects(writer.write(name), { name: "PublishError", code: "reserved-event" });
  });
}

test("a writer copes with a stream that was abandoned", async (t) => {
  const paths: (string | undefined)[] = [];
  const url = await startServer(t, (request, response) => {
    paths.push(request.url?.split("?")[0]);
    const message = "The stream there is abandoned";
    response
      .writeHead(404, { "Content-Type": "application/json" })
      .end(JSON.stringify({ code: "no-active-stream", message, stream_status: "abandoned" }));
  });
  const client = new Client({ url, apiKey: "k" });
  const writing = client.publish("k", (writer) => writer.write("token"), { lease: 0 });
  await assert.rejects(writing, { code: "no-active-stream", streamStatus: "abandoned" });
  assert.deepEqual(paths, ["/api/event/add/json-stream", "/api/stream/fail"]);
  assert.deepEqual(await client.endStream("k"), { status: "abandoned" });
});
