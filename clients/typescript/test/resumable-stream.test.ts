import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { createResumableStreamContext as createOriginal } from "resumable-stream/generic";
import {
  createResumableStreamContext,
  type ResumableStreamContext,
} from "tinistreamer/resumable-stream";
import { startBroker, until } from "./support.js";

/** This package's function, on a real broker. */
async function ours(t: TestContext): Promise<ResumableStreamContext> {
  const { url, apiKey } = await startBroker(t);
  return createResumableStreamContext({ url, apiKey, waitUntil: null });
}

/** The function of the package `resumable-stream`, on a store in memory. */
async function original(): Promise<ResumableStreamContext> {
  const values = new Map<string, string>();
  const subscribers = new Map<string, (message: string) => void>();
  return createOriginal({
    waitUntil: null,
    subscriber: {
      connect: async () => {},
      subscribe: async (channel: string, callback: (message: string) => void) =>
        void subscribers.set(channel, callback),
      unsubscribe: async (channel: string) => subscribers.delete(channel),
    },
    publisher: {
      connect: async () => {},
      publish: async (channel: string, message: string) =>
        queueMicrotask(() => subscribers.get(channel)?.(message)),
      set: async (key: string, value: string) => values.set(key, value),
      get: async (key: string) => values.get(key) ?? null,
      incr: async (key: string) => {
        const value = Number(values.get(key) ?? 0) + 1;
        if (Number.isNaN(value)) throw new Error("ERR value is not an integer or out of range");
        values.set(key, String(value));
        return value;
      },
    },
  });
}

/** A stream of text that the test writes. */
function makeSource() {
  let controller: ReadableStreamDefaultController<string> | undefined;
  const stream = new ReadableStream<string>({
    start(started) {
      controller = started;
    },
  });
  return {
    make: () => stream,
    say: (...chunks: string[]) => {
      for (const chunk of chunks) controller?.enqueue(chunk);
    },
    end: () => controller?.close(),
    fail: (error: Error) => controller?.error(error),
  };
}

async function textOf(stream: ReadableStream<string> | null | undefined): Promise<string> {
  assert.ok(stream);
  let text = "";
  const reader = stream.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value;
  return text;
}

const notCalled = () => assert.fail("a stream was made where one was");

for (const [whose, makeContext] of Object.entries({ ours, "the original": original })) {
  describe(`resumable streams, ${whose}`, () => {
    test("no stream exists before it is made", async (t) => {
      const context = await makeContext(t);
      assert.equal(await context.hasExistingStream("s"), null);
      assert.equal(await context.resumeExistingStream("s"), undefined);
    });

    test("a stream reaches its maker, and its readers without skipped text", async (t) => {
      const context = await makeContext(t);
      const source = makeSource();
      const made = await context.createNewResumableStream("s", source.make);
      source.say("hello", " 🦀", "wor");
      assert.equal(await context.hasExistingStream("s"), true);
      const resumed = await Promise.all(
        [0, 3, 5, 6, 8].map((skip) => context.resumeExistingStream("s", skip)),
      );
      resumed.push(await context.resumeExistingStream("s"));
      const texts = Promise.all([made, ...resumed].map(textOf));
      source.say("ld", "!");
      source.end();
      const whole = "hello 🦀world!";
      // Text that comes after the resume is not skipped.
      assert.deepEqual((await texts).slice(0, 6), [
        whole,
        whole,
        "lo 🦀world!",
        " 🦀world!",
        "🦀world!",
        "world!",
      ]);
      assert.equal((await texts).at(-1), whole);
    });

    test("a finished stream is DONE, and resuming it returns null", async (t) => {
      const context = await makeContext(t);
      const source = makeSource();
      const made = await context.createNewResumableStream("s", source.make);
      source.say("x");
      source.end();
      assert.equal(await textOf(made), "x");
      await until(
        async () => (await context.hasExistingStream("s")) === "DONE",
        "the stream is done",
      );
      assert.equal(await context.resumeExistingStream("s"), null);
      assert.equal(await context.resumeExistingStream("s", 1), null);
      assert.equal(await context.resumableStream("s", notCalled), null);
    });

    test("the idempotent function makes a stream once, and then resumes it", async (t) => {
      const context = await makeContext(t);
      const source = makeSource();
      const first = await context.resumableStream("s", source.make, 2);
      source.say("hello");
      const second = await context.resumableStream("s", notCalled, 2);
      const texts = Promise.all([first, second].map(textOf));
      source.say(" world");
      source.end();
      assert.deepEqual(await texts, ["hello world", "llo world"]);
    });

    test("a stream goes on when its maker stops reading", async (t) => {
      const context = await makeContext(t);
      const source = makeSource();
      const made = await context.createNewResumableStream("s", source.make);
      source.say("a");
      await made?.cancel();
      source.say("b");
      const resumed = await context.resumeExistingStream("s");
      const text = textOf(resumed);
      source.say("c");
      source.end();
      assert.equal(await text, "abc");
    });

    test("a reader that stops does not disturb others", async (t) => {
      const context = await makeContext(t);
      const source = makeSource();
      const made = await context.createNewResumableStream("s", source.make);
      source.say("a");
      await (await context.resumeExistingStream("s"))?.cancel();
      source.say("b");
      const text = textOf(await context.resumeExistingStream("s"));
      source.end();
      assert.deepEqual([await textOf(made), await text], ["ab", "ab"]);
    });

    test("a finished stream can be made again", async (t) => {
      const context = await makeContext(t);
      for (const text of ["one", "two"]) {
        const source = makeSource();
        const made = await context.createNewResumableStream("s", source.make);
        source.say(text);
        source.end();
        assert.equal(await textOf(made), text);
        await until(
          async () => (await context.hasExistingStream("s")) === "DONE",
          "the stream is done",
        );
      }
    });

    test("a new stream replaces one that is still written", async (t) => {
      const context = await makeContext(t);
      const old = makeSource();
      await context.createNewResumableStream("s", old.make);
      const source = makeSource();
      const made = await context.createNewResumableStream("s", source.make);
      source.say("new");
      source.end();
      assert.equal(await textOf(made), "new");
    });

    test("split characters, empty chunks and all line ends come unchanged", async (t) => {
      const context = await makeContext(t);
      const source = makeSource();
      const made = await context.createNewResumableStream("s", source.make);
      const text = textOf(await context.resumeExistingStream("s"));
      source.say("a\ud83e", "\udd80b", "", "\r\n\r\n\0\u2028", "\r");
      source.end();
      const whole = "a🦀b\r\n\r\n\0\u2028\r";
      assert.equal(await textOf(made), whole);
      assert.equal(await text, whole);
    });

    test("an error of makeStream is thrown", async (t) => {
      const context = await makeContext(t);
      const make = () => {
        throw new Error("no model");
      };
      await assert.rejects(context.resumableStream("s", make), { message: "no model" });
    });
  });
}

describe("resumable streams of this package", () => {
  test("when the text breaks off, all readers and waitUntil get the error", async (t) => {
    const { client } = await startBroker(t);
    let kept: Promise<unknown> | undefined;
    const waitUntil = (promise: Promise<unknown>) => {
      kept = promise;
    };
    const context = createResumableStreamContext({ client, waitUntil });
    const source = makeSource();
    const made = textOf(await context.createNewResumableStream("s", source.make));
    const resumed = textOf(await context.resumeExistingStream("s"));
    source.say("half an ans");
    source.fail(new Error("the model failed"));
    assert.ok(kept);
    await Promise.all([
      assert.rejects(made, { message: "the model failed" }),
      assert.rejects(resumed, { code: "stream-failed", message: /The producer failed/ }),
      assert.rejects(kept, { message: "the model failed" }),
    ]);
    assert.equal((await client.streamInfo("resumable-stream:s")).status, "failed");
  });

  test("when the producer is asked to stop, all readers and waitUntil get an error", async (t) => {
    const { client } = await startBroker(t);
    const cancelled = { message: /cancelled/ };
    const rejected: Promise<void>[] = [];
    let isOver = false;
    const waitUntil = (promise: Promise<unknown>) => {
      const over = () => {
        isOver = true;
      };
      rejected.push(assert.rejects(promise, cancelled).finally(over));
    };
    const context = createResumableStreamContext({ client, waitUntil });
    const source = makeSource();
    const created = await context.createNewResumableStream("s", source.make);
    const resumed = await context.resumeExistingStream("s");
    for (const stream of [created, resumed])
      rejected.push(assert.rejects(textOf(stream), cancelled));
    source.say("half an ans");
    const key = "resumable-stream:s";
    await until(async () => (await client.streamEvents(key)).length === 2, "the text is stored");
    await client.cancelStream(key, { reason: "enough" });
    // The writer learns of it with one of its next texts.
    await until(() => {
      source.say("wer");
      return isOver;
    }, "the writer has stopped");
    await Promise.all(rejected);
  });

  test("when the stream is failed by others, readers get an error, and it is DONE", async (t) => {
    const { client } = await startBroker(t);
    const context = createResumableStreamContext({ client, waitUntil: null });
    const source = makeSource();
    const made = textOf(await context.createNewResumableStream("s", source.make));
    const resumed = textOf(await context.resumeExistingStream("s"));
    const reason = { code: "stream-failed", message: "The stream failed: Too busy" };
    const failed = assert.rejects(resumed, reason);
    source.say("half an ans");
    const key = "resumable-stream:s";
    await until(async () => (await client.streamEvents(key)).length > 1, "the text is stored");
    await client.failStream(key, { message: "Too busy" });
    source.say("wer");
    source.end();
    await assert.rejects(made, { name: "PublishError", streamStatus: "failed" });
    await failed;
    assert.equal(await context.hasExistingStream("s"), "DONE");
    assert.equal(await context.resumeExistingStream("s"), null);
    const again = makeSource();
    const second = textOf(await context.createNewResumableStream("s", again.make));
    again.say("whole");
    again.end();
    assert.equal(await second, "whole");
  });

  test("two calls at once make one stream", async (t) => {
    const context = await ours(t);
    const sources = [makeSource(), makeSource()];
    let made = 0;
    const make = () => sources[made++]?.make() ?? notCalled();
    const both = await Promise.all([
      context.resumableStream("s", make),
      context.resumableStream("s", make),
    ]);
    assert.equal(made, 1);
    sources[0]?.say("once");
    sources[0]?.end();
    assert.deepEqual(await Promise.all(both.map(textOf)), ["once", "once"]);
  });

  test("a chunk beyond the broker's limit for an event comes unchanged", async (t) => {
    const context = await ours(t);
    const source = makeSource();
    const made = await context.createNewResumableStream("s", source.make);
    const resumed = textOf(await context.resumeExistingStream("s"));
    const long = '🦀\u0001"x'.repeat(250_000);
    source.say(long);
    source.end();
    assert.ok((await textOf(made)) === long);
    assert.ok((await resumed) === long);
  });

  test("streams of different prefixes are separate", async (t) => {
    const { client } = await startBroker(t);
    const [one, two] = ["one", "two"].map((keyPrefix) =>
      createResumableStreamContext({ client, keyPrefix, waitUntil: null }),
    );
    await one?.createNewResumableStream("s", makeSource().make);
    assert.equal(await one?.hasExistingStream("s"), true);
    assert.equal(await two?.hasExistingStream("s"), null);
  });
});
