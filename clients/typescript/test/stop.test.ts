import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { type Client, type LogEntry, PublishError, StoppedError, type Writer } from "tinistreamer";
import { WebSocket } from "ws";
import { type Answer, noActiveStream, renewed, signal, signals, startRoutes } from "./routes.js";
import { startBroker, until } from "./support.js";

const HEAR = "/api/stream/signals";
const UPLOAD = "/api/event/add/json-stream";
const CANCEL = "/api/stream/cancel";

/** An active stream on a real broker, and a function that asks its producer to stop. */
async function startStream(t: TestContext) {
  const { client, url } = await startBroker(t);
  await client.createStream("k");
  const { token } = await client.issueToken("k", { permissions: ["signal"], subject: "user-7" });
  const stop = async () => {
    const response = await fetch(`${url}/api/client/signal?key=k`, {
      method: "POST",
      headers: { Authorization: `Bearer ${token}` },
      body: '{"name":"stop"}',
    });
    assert.equal(response.status, 200);
  };
  return { client, stop };
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve());
  });

/** The names and the data of all events. */
const stored = async (client: Client) =>
  (await client.streamEvents("k")).map(({ event, data }) => [event, data ?? ""]);

const stopped = '{"reason":"stop","by":"user-7"}';

for (const transport of ["ndjson", "websocket"] as const) {
  describe(`a stop, over ${transport}`, () => {
    const options = { transport, WebSocket };

    test("aborts the signal, and the stream is cancelled without an error", async (t) => {
      const { client, stop } = await startStream(t);
      let [reason, thrown]: unknown[] = [];
      const result = await client.publish(
        "k",
        async (writer) => {
          const { signal } = writer;
          await writer.write("token", "a");
          await stop();
          await aborted(signal);
          reason = signal.reason;
          await writer.flush();
          await writer.write("token", "b").catch((error) => {
            thrown = error;
            throw error;
          });
          return "not reached";
        },
        options,
      );
      assert.equal(result, undefined);
      assert.ok(reason instanceof StoppedError && reason instanceof PublishError);
      assert.deepEqual([reason.name, reason.code, reason.by], ["AbortError", "stopped", "user-7"]);
      assert.equal(thrown, reason);
      assert.deepEqual(await stored(client), [
        ["start", ""],
        ["token", "a"],
        ["cancel", stopped],
      ]);
    });

    test("is learned with a renewal by a writer that does not listen", async (t) => {
      const { client, stop } = await startStream(t);
      const error = await client.publish(
        "k",
        async (writer) => {
          await writer.write("token", "a");
          await stop();
          return until(
            () =>
              writer.write("token", "b").then(
                () => undefined,
                (error) => error,
              ),
            "a write is refused",
          );
        },
        { ...options, lease: 2 },
      );
      assert.deepEqual([error.code, error.by], ["stopped", "user-7"]);
      assert.deepEqual((await stored(client)).at(-1), ["cancel", stopped]);
    });

    test("elsewhere is the error of a writer whose stream was cancelled", async (t) => {
      const { client } = await startStream(t);
      const writer = client.publish("k", { ...options, lease: 0 });
      await writer.write("token", "a");
      await writer.flush();
      await client.cancelStream("k", { by: "user-9" });
      await writer.write("token", "b");
      const error = await writer.flush().catch((error) => error);
      assert.ok(error instanceof StoppedError);
      assert.deepEqual(
        [error.code, error.streamStatus, error.acknowledged],
        ["stopped", "cancelled", 1],
      );
      await assert.rejects(writer.write("token", "c"), StoppedError);
      await assert.rejects(writer.finish(), StoppedError);
      await writer.cancel();
    });
  });
}

describe("after a stop", () => {
  /** Calls the function with a writer that has heard a stop. */
  async function afterStop<T>(
    t: TestContext,
    work: (writer: Writer) => T | Promise<T>,
    options: object = {},
  ) {
    const { client, stop } = await startStream(t);
    const result = await client.publish(
      "k",
      async (writer) => {
        await writer.write("token", "a");
        await stop();
        await aborted(writer.signal);
        return work(writer);
      },
      options,
    );
    return { client, result, last: (await stored(client)).at(-1) };
  }

  test("a function that returns cancels the stream, and its result counts", async (t) => {
    const { result, last } = await afterStop(t, () => "half");
    assert.deepEqual([result, last], ["half", ["cancel", stopped]]);
  });

  test("any error of the function counts as the stop's", async (t) => {
    const { result, last } = await afterStop(t, async (writer) => {
      await fetch("http://127.0.0.1:1", { signal: writer.signal });
    });
    assert.deepEqual([result, last], [undefined, ["cancel", stopped]]);
  });

  test("an error that is no abort is in the log", async (t) => {
    const log: LogEntry[] = [];
    const onLog = (entry: LogEntry) => log.push(entry);
    const stop: Answer = ({ query }) =>
      query.get("after") === "0" ? signals("active", signal(1, "stop")) : undefined;
    const { client } = await startRoutes(t, { [HEAR]: stop }, { onLog });
    const defect = new TypeError("a defect");
    for (const error of [defect, AbortSignal.abort().reason])
      await client.publish("k", async (writer) => {
        await aborted(writer.signal);
        throw error;
      });
    const warnings = log.filter(({ level }) => level === "warn");
    assert.deepEqual(warnings, [
      { level: "warn", message: "A producer threw after a stop", error: defect },
    ]);
  });

  test("finish ends the stream", async (t) => {
    const { last } = await afterStop(t, (writer) => writer.finish());
    assert.deepEqual(last, ["end", ""]);
  });

  test("fail fails the stream", async (t) => {
    const { last } = await afterStop(t, (writer) => writer.fail());
    assert.deepEqual(last, ["fail", '{"code":"error","message":""}']);
  });

  test("close leaves the stream active, with all events", async (t) => {
    const { client, last } = await afterStop(t, (writer) => writer.close());
    assert.deepEqual(last, ["token", "a"]);
    assert.equal((await client.streamInfo("k")).status, "active");
  });

  test("cancel says who asked, unless the caller says something else", async (t) => {
    const { last } = await afterStop(t, (writer) => writer.cancel());
    assert.deepEqual(last, ["cancel", stopped]);
    const other = await afterStop(t, (writer) => writer.cancel({ reason: "enough" }));
    assert.deepEqual(other.last, ["cancel", '{"reason":"enough"}']);
  });

  test("writeAfterStop lets the producer write on, and the stream is cancelled", async (t) => {
    const { client, last } = await afterStop(t, (writer) => writer.write("token", "more"), {
      writeAfterStop: true,
    });
    assert.deepEqual(last, ["cancel", stopped]);
    assert.deepEqual((await stored(client)).at(-2), ["token", "more"]);
  });

  test("a second stop changes nothing", async (t) => {
    const { client, stop } = await startStream(t);
    const heard: unknown[] = [];
    await client.publish("k", async (writer) => {
      const { signal } = writer;
      signal.addEventListener("abort", () => heard.push(signal.reason));
      await stop();
      await aborted(signal);
      await stop();
      await client.sendSignal("k", "steer");
      for await (const { name } of writer.signals()) {
        heard.push(name);
        if (name === "steer") break;
      }
    });
    assert.deepEqual(heard.slice(1), ["stop", "steer"]);
    assert.deepEqual((await stored(client)).at(-1), ["cancel", stopped]);
  });

  test("the end of an `await using` block cancels the stream", async (t) => {
    const { client, stop } = await startStream(t);
    {
      await using writer = client.publish("k");
      await stop();
      await aborted(writer.signal);
    }
    assert.deepEqual((await stored(client)).at(-1), ["cancel", stopped]);
  });

  test("a write that waits for room is refused at once, and its event stays", async (t) => {
    let answer = () => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const { client, to, reached } = await startRoutes(t, {
      [UPLOAD]: async ({ body }) => {
        await answered;
        return [200, { ids: [], num_events: (body as []).length, num_errors: 0, errors: [] }];
      },
      [HEAR]: async ({ query }) => {
        await reached(UPLOAD);
        return query.get("after") === "0" ? signals("active", signal(1, "stop", "u")) : undefined;
      },
    });
    const writer = client.publish("k", { maxPending: 1 });
    await writer.write("token", "a");
    const waiting = writer.write("token", "b");
    assert.equal(writer.signal.aborted, false);
    await assert.rejects(waiting, { code: "stopped", by: "u" });
    assert.equal(writer.acknowledged, 0);
    answer();
    await writer.flush();
    assert.equal(writer.acknowledged, 2);
    await writer.cancel();
    assert.deepEqual(to(CANCEL)[0]?.body, { key: "k", reason: "stop", by: "u" });
  });
});

describe("a stream that was cancelled elsewhere", () => {
  test("is a stop for a writer that listens", async (t) => {
    const { client } = await startStream(t);
    const reason = await client.publish("k", async ({ signal }) => {
      await client.cancelStream("k");
      await aborted(signal);
      return signal.reason;
    });
    assert.deepEqual([reason.code, reason.by], ["stopped", null]);
    assert.deepEqual((await stored(client)).at(-1), ["cancel", ""]);
  });

  test("is a stop for a writer that renews its lease, which then stops", async (t) => {
    const { client, to } = await startRoutes(t, {
      "/api/stream/renew": () => noActiveStream("cancelled"),
      [HEAR]: () => signals("cancelled", signal(1, "steer", "x"), signal(2, "stop", "user-3")),
    });
    const writer = client.publish("k", { lease: 2 });
    await writer.write("token", "a");
    await until(
      () =>
        writer.write("token", "b").then(
          () => false,
          (error) => error.code === "stopped" && error.by === "user-3",
        ),
      "a write is refused",
    );
    assert.equal(to("/api/stream/renew").length, 1);
    assert.equal(to(HEAR)[0]?.query.get("wait"), "0");
  });

  test("is no error of the function's caller, also when only the end meets it", async (t) => {
    const { client } = await startStream(t);
    const result = await client.publish(
      "k",
      async (writer) => {
        await writer.write("token", "a");
        await writer.flush();
        await client.cancelStream("k");
        return "all";
      },
      { lease: 0 },
    );
    assert.equal(result, "all");
  });

  test("is an error of finish", async (t) => {
    const { client } = await startStream(t);
    const writer = client.publish("k", { lease: 0 });
    await client.cancelStream("k");
    await assert.rejects(writer.finish(), { name: "AbortError", code: "stopped" });
  });
});

describe("a renewal that reports a stop", () => {
  test("counts as a stop also when the signals can't be read", async (t) => {
    const { client } = await startRoutes(t, {
      "/api/stream/renew": () => renewed("2026-01-01T00:00:17Z"),
      [HEAR]: () => [503, { code: "store-unavailable", message: "Away" }],
    });
    const { signal } = client.publish("k");
    await aborted(signal);
    assert.deepEqual([signal.reason.code, signal.reason.by], ["stopped", null]);
  });
});

test("the signal is aborted with the error when the writer fails", async (t) => {
  const { client } = await startRoutes(t, {
    [UPLOAD]: () => [400, { code: "invalid-event", message: "No" }],
    [HEAR]: () => undefined,
  });
  const writer = client.publish("k");
  const { signal } = writer;
  await writer.write("token", "a");
  await aborted(signal);
  assert.equal(signal.reason.code, "invalid-event");
  assert.equal(client.publish("k").signal.aborted, false);
  assert.equal(writer.signal, signal);
});
