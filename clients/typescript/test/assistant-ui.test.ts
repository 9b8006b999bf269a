// What is special about this store. The tests that `assistant-stream` ships run with it in
// `tests/adapters`.

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createResumableStreamContext } from "assistant-stream/resumable";
import type { Client } from "tinistreamer";
import {
  type BrokerStoreOptions,
  createBrokerResumableStreamStore,
} from "tinistreamer/assistant-ui";
import { startBroker, until } from "./support.js";

type Store = ReturnType<typeof createBrokerResumableStreamStore>;

/** Two stores of different processes, on one broker. */
async function startStores(t: TestContext, options: Partial<BrokerStoreOptions> = {}) {
  const { client } = await startBroker(t);
  const make = () => createBrokerResumableStreamStore({ client, ...options });
  return { client, store: make(), other: make(), key: "assistant-ui:s" };
}

async function acquire(store: Store, streamId = "s", ttlMs?: number) {
  const acquired = await store.acquireLease(streamId, ttlMs === undefined ? {} : { ttlMs });
  assert.equal(acquired.role, "producer");
  return acquired.lease;
}

const bytes = (text: string) => new TextEncoder().encode(text);
const never = () => new AbortController().signal;

async function textOf(store: Store, cursor = "") {
  let text = "";
  for await (const { chunk } of store.read("s", cursor, never()))
    text += new TextDecoder().decode(chunk);
  return text;
}

const statusOf = async (client: Client, key: string) => {
  const { status, reason } = await client.streamInfo(key);
  return [status, reason];
};

test("every chunk of bytes comes back as it was, in one piece", async (t) => {
  const { store, other } = await startStores(t);
  const lease = await acquire(store);
  const long = new Uint8Array(400_000).map((_, n) => (n * 7919) % 251);
  const chunks = [
    bytes("crab 🦀 \r\n\0\u2028"),
    new Uint8Array(0),
    bytes("🦀").subarray(0, 2),
    bytes("🦀").subarray(2),
    Uint8Array.from({ length: 256 }, (_, n) => n),
    bytes("\ufeffBOM"),
    long,
    bytes("🦀".repeat(150_000)),
    bytes(`x${"🦀".repeat(150_000)}`),
    bytes("end"),
  ];
  for (const chunk of chunks) await store.append("s", chunk, lease);
  await store.finalize("s", "done", undefined, lease);
  const entries = [];
  for await (const entry of other.read("s", "", never())) entries.push(entry);
  assert.equal(entries.length, chunks.length);
  for (const [n, { chunk }] of entries.entries())
    assert.ok(Buffer.compare(chunk, chunks[n] as Uint8Array) === 0, `chunk ${n}`);
  assert.equal(await textOf(other, entries.at(-2)?.cursor), "end");
});

test("another process may write with the lease", async (t) => {
  const { store, other, client, key } = await startStores(t);
  const lease = await acquire(store);
  await store.append("s", bytes("a"), lease);
  await Promise.all(["b", "b"].map((text) => other.append("s", bytes(text), lease)));
  await other.append("s", bytes("c"));
  await assert.rejects(other.append("s", bytes("x"), { token: "0".repeat(32) }), {
    code: "missing",
    message: "Stream superseded by a new acquisition: s",
  });
  assert.equal(await other.finalize("s", "done", undefined, { token: "0".repeat(32) }), false);
  assert.equal(await other.finalize("s", "done", undefined, lease), true);
  assert.equal(await store.finalize("s", "error", "late", lease), false);
  assert.equal(await textOf(store), "abbc");
  assert.deepEqual(await statusOf(client, key), ["ended", null]);
  await assert.rejects(store.append("s", bytes("x"), lease), { code: "finalized" });
});

test("a stop reaches the producer, and the stream is done with what was written", async (t) => {
  const { store, other, client, key } = await startStores(t);
  const lease = await acquire(store);
  const signal = store.signal("s");
  assert.throws(() => other.signal("s"), { code: "missing" });
  await store.append("s", bytes("half"), lease);
  const text = textOf(other);
  await other.requestStop("s");
  await until(() => signal.aborted, "the signal is aborted");
  assert.equal(signal.reason.code, "stopped");
  await assert.rejects(store.append("s", bytes("more"), lease), { code: "stopped" });
  assert.equal(await store.finalize("s", "error", "aborted", lease), true);
  assert.equal(await text, "half");
  assert.deepEqual(await statusOf(client, key), ["cancelled", { reason: "stop", by: "api-key" }]);
  assert.equal(await other.status("s"), "done");
  await other.requestStop("s");
  await other.requestStop("unknown");
  assert.throws(() => store.signal("s"), { code: "missing" });
});

test("a stream that is complete when the stop comes is cancelled, too", async (t) => {
  const { store, client, key } = await startStores(t);
  const lease = await acquire(store);
  await store.append("s", bytes("all"), lease);
  await store.requestStop("s");
  await until(() => store.signal("s").aborted, "the signal is aborted");
  assert.equal(await store.finalize("s", "done", undefined, lease), true);
  assert.equal((await client.streamInfo(key)).status, "cancelled");
});

test("readers get the reason of a failure, also from its end", async (t) => {
  const { store, other, client, key } = await startStores(t);
  const lease = await acquire(store);
  await store.append("s", bytes("half"), lease);
  let cursor = "";
  const read = async (from: string) => {
    for await (const entry of other.read("s", from, never())) cursor = entry.cursor;
  };
  const message = `The model failed ${"é".repeat(600)}`;
  await store.finalize("s", "error", message, lease);
  const expected = (error: Error & { cause: { code: string } }) => {
    assert.equal(error.message, message.slice(0, 520));
    assert.equal(error.cause.code, "stream-failed");
    return true;
  };
  await assert.rejects(read(""), expected as never);
  await assert.rejects(read(cursor), expected as never);
  assert.equal(await other.status("s"), "error");
  assert.equal((await client.streamInfo(key)).status, "failed");
});

test("a stream whose producer dies is an error", async (t) => {
  const { client, other, key } = await startStores(t);
  await client.createStream(key, { lease: 2 });
  await client.addEvents(key, [{ event: "text", data: '"half"' }]);
  let got = "";
  const read = async () => {
    for await (const { chunk } of other.read("s", "", never()))
      got += new TextDecoder().decode(chunk);
  };
  await assert.rejects(read(), { message: /abandoned: lease/ });
  assert.equal(got, "half");
  assert.equal(await other.status("s"), "error");
  assert.equal(await other.acquire("s"), "consumer");
});

test("a producer keeps its lease in silence", async (t) => {
  const { store, client, key } = await startStores(t, { lease: 2 });
  const lease = await acquire(store);
  const before = (await client.streamInfo(key)).lease_expires_at ?? "";
  await until(async () => {
    const { lease_expires_at } = await client.streamInfo(key);
    return Date.parse(lease_expires_at ?? "") - Date.parse(before) > 3_000;
  }, "the lease is renewed");
  assert.equal(await store.finalize("s", "done", undefined, lease), true);
});

test("a stream that others finish aborts the producer", async (t) => {
  const { store, client, key } = await startStores(t);
  const lease = await acquire(store);
  await client.failStream(key, { message: "Too busy" });
  const signal = store.signal("s");
  await until(() => signal.aborted, "the signal is aborted");
  assert.equal(signal.reason.code, "stream-over");
  await assert.rejects(store.append("s", bytes("x"), lease), { code: "finalized" });
  assert.equal(await store.finalize("s", "done", undefined, lease), false);
});

test("a stream that others cancel is a stop", async (t) => {
  const { store, client, key } = await startStores(t);
  const lease = await acquire(store);
  await client.cancelStream(key, { reason: "enough" });
  await assert.rejects(store.append("s", bytes("x"), lease), { code: "stopped" });
  assert.equal(await store.finalize("s", "error", "aborted", lease), false);
  assert.equal(await store.status("s"), "done");
});

test("a stream is deleted with its content, for its producer and its readers", async (t) => {
  const { store, other, client, key } = await startStores(t);
  const lease = await acquire(store);
  await store.append("s", bytes("secret"), lease);
  let cursor = "";
  let text = "";
  const reading = (async () => {
    for await (const entry of other.read("s", "", never())) {
      cursor = entry.cursor;
      text += new TextDecoder().decode(entry.chunk);
    }
  })();
  await until(() => text, "the reader has text");
  await other.delete("s");
  await reading;
  assert.equal(text, "secret");
  const stored = await client.streamEvents(key);
  assert.ok(!JSON.stringify(stored).includes("secret"));
  for (const one of [store, other]) assert.equal(await one.status("s"), "missing");
  const gone = { code: "missing", message: "Stream not found: s" };
  await assert.rejects(store.append("s", bytes("x"), lease), gone);
  await assert.rejects(textOf(other), gone);
  await assert.rejects(store.finalize("s", "done", undefined, lease), gone);
  await other.delete("s");
  await other.delete("unknown");
  // The id is free at once.
  const again = await acquire(other);
  assert.equal(await store.acquire("s"), "consumer");
  await other.append("s", bytes("new"), again);
  await other.finalize("s", "done", undefined, again);
  assert.equal(await textOf(store), "new");
  await assert.rejects(textOf(store, cursor), { code: "missing", message: /superseded/ });
  await other.delete("s");
  assert.equal(await other.status("s"), "missing");
});

test("a stream that expires under a reader is an error, and no end", async (t) => {
  const { store, client, other, key } = await startStores(t);
  const lease = await acquire(store);
  await store.append("s", bytes("half"), lease);
  let text = "";
  const reading = (async () => {
    for await (const { chunk } of other.read("s", "", never()))
      text += new TextDecoder().decode(chunk);
  })();
  const failed = assert.rejects(reading, { code: "missing", message: /Stream expired/ });
  await until(() => text, "the reader has text");
  // Another stream in its place.
  await client.createStream(key, { if_exists: "replace" });
  await failed;
});

test("ids, cursors, lives and sizes are checked", async (t) => {
  const { store, client, key } = await startStores(t, { maxChunkBytes: 3, stream: { ttl: 50 } });
  for (const id of ["", "a b", "é", "x".repeat(250)])
    await assert.rejects(store.acquire(id), { code: "invalid-id" });
  await assert.rejects(store.acquire("s", { ttlMs: 8 * 86_400_000 }), RangeError);
  const lease = await acquire(store, "s", 5_500);
  await assert.rejects(store.append("s", bytes("long"), lease), { message: /maxChunkBytes: 4/ });
  await store.append("s", bytes("ok"), lease);
  await assert.rejects(textOf(store, "1"), TypeError);
  await store.finalize("s", "done", undefined, lease);
  const { ttl } = await client.streamInfo(key);
  assert.ok(ttl <= 6, `${ttl} s`);
  const other = await acquire(store, "t");
  const signal = store.signal("t");
  assert.ok((await client.streamInfo("assistant-ui:t")).ttl > 40);
  await store.finalize("t", "done", undefined, other);
  assert.equal((await client.streamInfo("assistant-ui:t")).status, "ended");
  assert.equal(signal.aborted, false);
});

test("with assistant-ui's context a stop closes the model's stream", async (t) => {
  const { store, other } = await startStores(t);
  const tasks: Promise<unknown>[] = [];
  const context = createResumableStreamContext({ store, waitUntil: (task) => tasks.push(task) });
  let closed: unknown;
  const model = () => {
    const signal = store.signal("s");
    return new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(bytes("half"));
        // A model that says nothing more ends with the signal.
        signal.addEventListener("abort", () => controller.error(signal.reason));
      },
      cancel(reason) {
        closed = reason;
      },
    });
  };
  const stream = await context.run("s", model);
  const second = new Response(await createResumableStreamContext({ store: other }).resume("s"));
  const [first, text] = [new Response(stream).text(), second.text()];
  await until(async () => (await other.status("s")) === "streaming", "it is written");
  await other.requestStop("s");
  assert.deepEqual(await Promise.all([first, text]), ["half", "half"]);
  await Promise.all(tasks);
  assert.equal(await context.status("s"), "done");
  assert.equal(closed, undefined);
});
