import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import type { Writer } from "tinistreamer";
import { signal, signals, startRoutes } from "./routes.js";
import { startBroker, until } from "./support.js";

const HEAR = "/api/stream/signals";

/** Yields the items, and then waits for ever. Records that it was closed. */
function endless(...items: string[]) {
  let closed = false;
  const source: AsyncIterable<string> = {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        const value = items.shift();
        return value === undefined
          ? new Promise(() => {})
          : Promise.resolve({ done: false, value });
      },
      return: async () => {
        closed = true;
        return { done: true, value: undefined };
      },
    }),
  };
  return {
    source,
    get closed() {
      return closed;
    },
  };
}

/** A server whose producer is asked to stop when the test says so. */
async function startStoppable(t: TestContext, more: Parameters<typeof startRoutes>[1] = {}) {
  let stop = () => {};
  const stopped = new Promise<void>((resolve) => {
    stop = resolve;
  });
  const routes = await startRoutes(t, {
    [HEAR]: async ({ query }) => {
      if (query.get("after") !== "0") return undefined;
      await stopped;
      return signals("active", signal(1, "stop", "u"));
    },
    ...more,
  });
  return { ...routes, stop };
}

describe("pipeFrom", () => {
  test("stops and closes a source that waits, at a stop", async (t) => {
    const { client, stop, to } = await startStoppable(t);
    const endlessOne = endless("a", "b");
    const result = await client.publish("k", async (writer) => {
      assert.equal(writer.signal.aborted, false);
      const piping = writer.pipeFrom(endlessOne.source, "token");
      await until(() => writer.acknowledged === 2, "the items are stored");
      stop();
      await assert.rejects(piping, { name: "AbortError", code: "stopped", by: "u" });
      assert.equal(endlessOne.closed, true);
      return "left";
    });
    assert.equal(result, "left");
    assert.deepEqual(to("/api/stream/cancel")[0]?.body, { key: "k", reason: "stop", by: "u" });
  });

  test("cancels a ReadableStream that waits, at a stop", async (t) => {
    const { client, stop } = await startStoppable(t);
    let reason: unknown;
    const source = new ReadableStream({
      start: (controller) => controller.enqueue("a"),
      cancel: (why) => {
        reason = why;
      },
    });
    const result = await client.publish("k", async (writer) => {
      void writer.signal;
      const piping = writer.pipeFrom(source, "token");
      await until(() => writer.acknowledged === 1, "the item is stored");
      stop();
      await assert.rejects(piping, { code: "stopped" });
      assert.equal((reason as { code: string }).code, "stopped");
      return "left";
    });
    // An error after a stop would be swallowed.
    assert.equal(result, "left");
  });

  test("hears a stop by itself, with writeAfterStop, too", async (t) => {
    const { client, stop } = await startStoppable(t);
    const endlessOne = endless("a");
    const result = await client.publish(
      "k",
      async (writer) => {
        const piping = writer.pipeFrom(endlessOne.source, "token");
        await until(() => writer.acknowledged === 1, "the item is stored");
        stop();
        await assert.rejects(piping, { code: "stopped" });
        await writer.write("note", "stopped");
        return "left";
      },
      { writeAfterStop: true },
    );
    assert.equal(result, "left");
    assert.equal(endlessOne.closed, true);
  });

  test("closes a source that waits when the writer fails", async (t) => {
    const { client } = await startRoutes(t, {
      "/api/event/add/json-stream": () => [400, { code: "invalid-event", message: "No" }],
    });
    const endlessOne = endless("a");
    await assert.rejects(client.publish("k").pipeFrom(endlessOne.source, "token"), {
      code: "invalid-event",
    });
    assert.equal(endlessOne.closed, true);
  });

  test("closes the source when an event is refused", async (t) => {
    const { client } = await startRoutes(t, {});
    const endlessOne = endless("a");
    const writer = client.publish("k");
    await assert.rejects(writer.pipeFrom(endlessOne.source, "end"), { code: "reserved-event" });
    assert.equal(endlessOne.closed, true);
  });

  test("throws the error of the source", async (t) => {
    const { client } = await startRoutes(t, {});
    async function* broken() {
      yield "a";
      throw new Error("broken");
    }
    const writer = client.publish("k");
    await assert.rejects(writer.pipeFrom(broken(), "token"), { message: "broken" });
    await writer.finish();
    assert.equal(writer.acknowledged, 1);
  });

  const sources: [string, () => Parameters<Writer["pipeFrom"]>[0]][] = [
    ["a list, with promises", () => ["a", Promise.resolve("b")]],
    ["a string", () => "ab"],
    ["a ReadableStream", () => new Blob(["ab"]).stream().pipeThrough(new TextDecoderStream())],
  ];
  for (const [what, source] of sources)
    test(`takes ${what}`, async (t) => {
      const { client } = await startBroker(t);
      await client.createStream("k");
      await client.publish("k", (writer) => writer.pipeFrom(source(), "token"));
      const events = await client.streamEvents("k");
      assert.equal(events.map(({ data }) => data ?? "").join(""), "ab");
    });
});

describe("writable", () => {
  /** A source that yields one item, and then waits for ever. */
  function waiting() {
    let reason: unknown;
    const source = new ReadableStream({
      start: (controller) => controller.enqueue("a"),
      cancel: (why) => {
        reason = why;
      },
    });
    return { source, reason: () => reason };
  }

  test("closes a source that waits at a stop, and cancels the stream", async (t) => {
    const { client, stop, to, reached } = await startStoppable(t);
    const { source, reason } = waiting();
    const writer = client.publish("k");
    void writer.signal;
    const piping = source.pipeTo(writer.writable("token"));
    await until(() => writer.acknowledged === 1, "the item is stored");
    stop();
    await assert.rejects(piping, { name: "AbortError", code: "stopped" });
    assert.equal((reason() as { code: string }).code, "stopped");
    await reached("/api/stream/cancel");
    assert.deepEqual(to("/api/stream/cancel")[0]?.body, { key: "k", reason: "stop", by: "u" });
    assert.equal(to("/api/stream/fail").length, 0);
  });

  test("leaves the end to the function in which it is used", async (t) => {
    const { client, stop, to } = await startStoppable(t);
    const result = await client.publish("k", async (writer) => {
      void writer.signal;
      const piping = waiting().source.pipeTo(writer.writable("token"));
      stop();
      await assert.rejects(piping, { code: "stopped" });
      assert.equal(to("/api/stream/cancel").length, 0);
      return "left";
    });
    assert.equal(result, "left");
    assert.equal(to("/api/stream/cancel").length, 1);
  });

  test("closes a source that waits when the writer fails, and fails the stream", async (t) => {
    const { client, reached } = await startRoutes(t, {
      "/api/event/add/json-stream": () => [400, { code: "invalid-event", message: "No" }],
    });
    const { source, reason } = waiting();
    await assert.rejects(source.pipeTo(client.publish("k").writable("token")), {
      code: "invalid-event",
    });
    assert.equal((reason() as { code: string }).code, "invalid-event");
    await reached("/api/stream/fail");
  });

  test("that is aborted says what `failure` makes of the reason", async (t) => {
    const { client, to } = await startRoutes(t, {});
    const failure = (error: unknown) => ({ code: String(error) });
    const writable = client.publish("k", { failure }).writable("token");
    await writable.abort("too-slow");
    assert.deepEqual(to("/api/stream/fail")[0]?.body, {
      key: "k",
      code: "too-slow",
      message: "The producer failed",
    });
  });

  test("that is aborted by a signal says that the producer was interrupted", async (t) => {
    const { client, to } = await startRoutes(t, {});
    const abort = new AbortController();
    const { source } = waiting();
    const writer = client.publish("k");
    const piping = source.pipeTo(writer.writable("token"), { signal: abort.signal });
    await until(() => writer.acknowledged === 1, "the item is stored");
    abort.abort();
    await assert.rejects(piping, { name: "AbortError" });
    const body = to("/api/stream/fail")[0]?.body as { code: string } | undefined;
    assert.equal(body?.code, "interrupted");
  });

  test("that is closed cancels the stream after a stop", async (t) => {
    const { client, stop, to } = await startStoppable(t);
    const writer = client.publish("k", { writeAfterStop: true });
    const { signal } = writer;
    const writable = writer.writable("token").getWriter();
    stop();
    await until(() => signal.aborted, "the stop is heard");
    await writable.write("a");
    await writable.close();
    assert.equal(to("/api/stream/cancel").length, 1);
    assert.equal(to("/api/stream/end").length, 0);
  });
});
