import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Client, type Writer } from "tinistreamer";
import { WebSocket } from "ws";
import { startRoutes } from "./routes.js";
import { startBroker, until } from "./support.js";

/** Longer than any test: only something else than the time sends what was gathered. */
const LONG = 1_000_000;
const UPLOAD = "/api/event/add/json-stream";

/** The names and the data of the events that a function writes. */
async function written(
  t: Parameters<typeof startBroker>[0],
  write: (writer: Writer) => void | Promise<void>,
  options: object = {},
) {
  const { client } = await startBroker(t);
  await client.createStream("k");
  const counts: number[] = [];
  const onAck = ({ count }: { count: number }) => counts.push(count);
  await client.publish("k", write, { coalesceMs: LONG, onAck, ...options });
  const events = await client.streamEvents("k");
  const own = events.slice(1, -1).map(({ event, data }) => [event, data ?? ""]);
  assert.equal(counts.at(-1), own.length, "what is stored is acknowledged");
  return own;
}

describe("gathered strings", () => {
  for (const transport of ["ndjson", "websocket"] as const)
    test(`of one name become one event, over ${transport}`, async (t) => {
      const own = await written(
        t,
        async (writer) => {
          for (const part of ["Hel", "", "lo", " \ud83e", "\udd80"])
            await writer.write("token", part);
        },
        { transport, WebSocket },
      );
      assert.deepEqual(own, [["token", "Hello 🦀"]]);
    });

  test("go before another name, another value, and an event without data", async (t) => {
    const own = await written(t, async (writer) => {
      await writer.write("a", "1");
      await writer.write("a", "2");
      await writer.write("b", "3");
      await writer.write("b", { n: 4 });
      await writer.write("b", "5");
      await writer.write("b");
      await writer.write("b", "6");
      await writer.write("b", "7");
    });
    assert.deepEqual(own, [
      ["a", "12"],
      ["b", "3"],
      ["b", '{"n":4}'],
      ["b", "5"],
      ["b", ""],
      ["b", "67"],
    ]);
  });

  test("go at a flush, and count as pending until then", async (t) => {
    const own = await written(t, async (writer) => {
      await writer.write("a", "1");
      await writer.write("a", "2");
      assert.deepEqual([writer.pending, writer.acknowledged], [1, 0]);
      await writer.flush();
      assert.deepEqual([writer.pending, writer.acknowledged], [0, 1]);
      await writer.write("a", "3");
    });
    assert.deepEqual(own, [
      ["a", "12"],
      ["a", "3"],
    ]);
  });

  test("go when their time is over", async (t) => {
    const { client } = await startBroker(t);
    await client.createStream("k");
    const writer = client.publish("k", { coalesceMs: 10 });
    for (const part of ["a", "b", "c"]) void writer.write("token", part);
    await until(() => writer.acknowledged === 1, "the event is stored");
    await writer.finish();
    assert.equal((await client.streamEvents("k"))[1]?.data, "abc");
  });

  test("are at most 64 KiB of UTF-8, unless one string is longer", async (t) => {
    const kibibyte = "ü".repeat(512);
    const own = await written(t, async (writer) => {
      for (let n = 0; n < 63; n += 1) await writer.write("a", kibibyte);
      await writer.write("a", `${kibibyte}x`);
      await writer.write("a", "y");
      await writer.write("a", kibibyte.repeat(70));
      await writer.write("a", "z");
    });
    assert.deepEqual(
      own.map(([, data = ""]) => Buffer.byteLength(data)),
      [63 * 1024, 1026, 70 * 1024, 1],
    );
  });

  test("go before the stream fails, and before the writer is closed", async (t) => {
    const { client } = await startBroker(t);
    await client.createStream("k");
    const writer = client.publish("k", { coalesceMs: LONG });
    await writer.write("token", "a");
    await writer.close();
    const failing = client.publish(
      "k",
      async (writer) => {
        await writer.write("token", "b");
        throw new Error("the model failed");
      },
      { coalesceMs: LONG },
    );
    await assert.rejects(failing, { message: "the model failed" });
    assert.deepEqual(
      (await client.streamEvents("k")).map(({ event, data }) => (event === "token" ? data : event)),
      ["start", "a", "b", "fail"],
    );
  });

  test("are dropped when the caller cancels", async (t) => {
    const { client } = await startBroker(t);
    await client.createStream("k");
    const writer = client.publish("k", { coalesceMs: 10 });
    await writer.write("token", "a");
    await writer.cancel();
    assert.equal(writer.pending, 0);
    assert.deepEqual(
      (await client.streamEvents("k")).map(({ event }) => event),
      ["start", "cancel"],
    );
  });

  test("are bounded by maxPending", async (t) => {
    let answer = () => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const { client, to } = await startRoutes(t, {
      [UPLOAD]: async ({ body }) => {
        await answered;
        return [200, { ids: [], num_events: (body as []).length, num_errors: 0, errors: [] }];
      },
    });
    const writer = client.publish("k", { coalesceMs: LONG, maxPending: 2 });
    await writer.write("a", "1");
    await writer.write("b", "2");
    let waits = true;
    const third = writer.write("c", "3").then(() => {
      waits = false;
    });
    await until(() => to(UPLOAD).length === 1, "the first upload");
    assert.deepEqual([waits, writer.pending], [true, 3]);
    answer();
    await third;
    await writer.finish();
    assert.equal(writer.acknowledged, 3);
  });

  test("need a time that a timer can take", () => {
    const client = new Client({ url: "http://127.0.0.1:1", apiKey: "k" });
    for (const coalesceMs of [-1, Number.NaN, Number.POSITIVE_INFINITY])
      assert.throws(() => client.publish("k", { coalesceMs }), { name: "RangeError" });
  });
});
