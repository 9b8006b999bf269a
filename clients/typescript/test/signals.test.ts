import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { LogEntry, SignalRecord } from "tinistreamer";
import { startBroker as startTestBroker } from "tinistreamer/testing";
import { type Answer, signal, signals, startRoutes } from "./routes.js";
import { collect, startBroker, until } from "./support.js";

const HEAR = "/api/stream/signals";

/** Answers with what follows the number `after`, and waits when nothing does. */
const holding =
  (all: SignalRecord[]): Answer =>
  ({ query }) => {
    const rest = all.filter(({ seq }) => seq > Number(query.get("after")));
    return rest.length > 0 ? signals("active", ...rest.slice(0, 2)) : undefined;
  };

const three = [signal(1, "steer", "u"), signal(2, "approve"), signal(3, "steer")];

describe("the signals of a writer", () => {
  test("come from the first one on, with their data, until the writer ends", async (t) => {
    const { client } = await startBroker(t);
    await client.createStream("k");
    await client.sendSignal("k", "steer", { data: { to: "the left" } });
    const heard: SignalRecord[] = [];
    let reading: Promise<void> | undefined;
    await client.publish("k", async (writer) => {
      reading = (async () => {
        for await (const signal of writer.signals()) heard.push(signal);
      })();
      await until(() => heard.length === 1, "the signal before");
      await client.sendSignal("k", "approve");
      await until(() => heard.length === 2, "the signal after");
    });
    await reading;
    assert.deepEqual(
      heard.map(({ seq, name, data, by }) => [seq, name, data, by]),
      [
        [1, "steer", { to: "the left" }, "api-key"],
        [2, "approve", undefined, "api-key"],
      ],
    );
  });

  test("are over when the stream is", async (t) => {
    const { client } = await startBroker(t);
    await client.createStream("k");
    const writer = client.publish("k", { lease: 0 });
    const reading = collect(writer.signals());
    await client.sendSignal("k", "steer");
    await client.endStream("k");
    assert.deepEqual(
      (await reading).map(({ name }) => name),
      ["steer"],
    );
    assert.equal(writer.signal.aborted, false);
  });

  test("come to each reader, also after the end", async (t) => {
    const { client, to } = await startRoutes(t, { [HEAR]: holding(three) });
    const writer = client.publish("k", { generation: "g" });
    const read = async () => {
      const numbers: number[] = [];
      for await (const { seq } of writer.signals()) {
        numbers.push(seq);
        if (seq === 3) break;
      }
      return numbers;
    };
    assert.deepEqual(await Promise.all([read(), read()]), [
      [1, 2, 3],
      [1, 2, 3],
    ]);
    await until(() => to(HEAR).length === 3, "the next request");
    assert.deepEqual(
      to(HEAR).map(({ query }) => Object.fromEntries(query)),
      ["0", "2", "3"].map((after) => ({ key: "k", generation: "g", after, wait: "20" })),
    );
    await writer.finish();
    assert.deepEqual(
      (await collect(writer.signals())).map(({ seq }) => seq),
      [1, 2, 3],
    );
    assert.equal(to(HEAR).length, 3);
  });

  test("close their connection at once when the writer ends", async (t) => {
    const { client, reached } = await startRoutes(t, { [HEAR]: () => undefined });
    const writer = client.publish("k");
    const reading = collect(writer.signals());
    const request = await reached(HEAR);
    await writer.finish();
    assert.deepEqual(await reading, []);
    await until(() => request.left, "the connection is closed");
  });

  test("close their connection at once when the writer fails", async (t) => {
    const { client, reached } = await startRoutes(t, {
      [HEAR]: () => undefined,
      "/api/event/add/json-stream": () => [400, { code: "invalid-event", message: "No" }],
    });
    const writer = client.publish("k");
    const reading = collect(writer.signals());
    const request = await reached(HEAR);
    await writer.write("token", "a");
    assert.deepEqual(await reading, []);
    await until(() => request.left, "the connection is closed");
  });

  test("survive failures, and each comes once", async (t) => {
    const failures: [number, unknown][] = [
      [503, { code: "store-unavailable", message: "Away" }],
      [429, { code: "too-many-producers", message: "Full" }],
    ];
    const { client } = await startRoutes(t, {
      [HEAR]: (request) => {
        const { query } = request;
        // The second signal comes twice, as from a server between that repeats an answer.
        if (query.get("after") === "2") return failures.shift() ?? signals("active", ...three);
        return holding(three)(request);
      },
    });
    const writer = client.publish("k");
    const numbers: number[] = [];
    for await (const { seq } of writer.signals()) {
      numbers.push(seq);
      if (seq === 3) break;
    }
    assert.deepEqual(numbers, [1, 2, 3]);
    assert.deepEqual(failures, []);
    await writer.finish();
  });

  test("survive connections that are cut", async (t) => {
    const program = fileURLToPath(new URL("../../../target/debug/tinistreamer", import.meta.url));
    const broker = await startTestBroker({ program: process.env.TINISTREAMER_BIN ?? program });
    t.after(() => broker.stop());
    const { client } = broker;
    await client.createStream("k");
    await client.sendSignal("k", "steer");
    const numbers: number[] = [];
    await client.publish("k", async (writer) => {
      for await (const { seq } of writer.signals()) {
        numbers.push(seq);
        broker.line.cut();
        if (writer.signal.aborted) break;
        // A call may meet a connection that was cut.
        const [name, options] = [seq < 3 ? "steer" : "stop", { id: `signal-${seq}` }];
        const send = () => client.sendSignal("k", name, options).catch(() => undefined);
        await until(send, "the signal is sent");
      }
    });
    assert.deepEqual(numbers, [1, 2, 3, 4]);
    assert.equal((await client.streamInfo("k")).status, "cancelled");
  });

  test("throw a final refusal, while the writer goes on", async (t) => {
    const log: LogEntry[] = [];
    const { client } = await startRoutes(
      t,
      { [HEAR]: () => [401, { code: "unauthorized", message: "No" }] },
      { onLog: (entry) => log.push(entry) },
    );
    const result = await client.publish("k", async (writer) => {
      for (let n = 0; n < 2; n += 1)
        await assert.rejects(collect(writer.signals()), { name: "ApiError", code: "unauthorized" });
      await writer.write("token", "a");
      return "done";
    });
    assert.equal(result, "done");
    const warnings = log.filter(({ level }) => level === "warn");
    assert.deepEqual(
      warnings.map(({ message, error }) => [message, (error as { code: string }).code]),
      [["A writer no longer hears signals", "unauthorized"]],
    );
  });

  test("are not asked for again and again when a server does not wait", async (t) => {
    const { client, to } = await startRoutes(t, { [HEAR]: () => signals("active") });
    const writer = client.publish("k");
    writer.signals();
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(to(HEAR).length, 1);
    await writer.finish();
  });
});
