import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { RUN_CANCEL_REASON, type StreamChunk } from "@tanstack/ai";
import { Client } from "tinistreamer";
import { type BrokerStreamOptions, brokerStream } from "tinistreamer/tanstack-ai";
import { Fixture } from "../../../tests/support/fixture.mjs";
import { CuttingProxy } from "../../../tests/support/proxy.mjs";
import { collect, startBroker, until } from "./support.js";
import { deltas, failed, finished, text } from "./tanstack-ai.js";

type Source = Request | { runId: string };

/** A broker, and the logs of the run `r` on it. */
async function startRun(t: TestContext, options: Partial<BrokerStreamOptions> = {}) {
  const { client } = await startBroker(t);
  const open = (source: Source = { runId: "r" }) => brokerStream(source, { client, ...options });
  return { client, open, key: "tanstack-ai:r", read: () => collect(open().read("-1" as never)) };
}

const request = () => new Request("http://chat/api", { headers: { "X-Run-Id": "r" } });

describe("brokerStream", () => {
  test("every chunk comes back as it was", async (t) => {
    const { open, read } = await startRun(t);
    const producer = open();
    const long = `🦀"\\\u0001é${"🦀x".repeat(60_000)}`;
    const odd = ["a\ud83e", "\udd80b", "", "\r\n\r\n\0\u2028", long, `x${long}`, "\ufeffa"];
    const chunks = [...odd.map(text), { ...text("x"), metadata: { deep: [null, 1.5, "é"] } }];
    await producer.append(chunks as StreamChunk[]);
    await producer.append([...odd].reverse().map(text));
    await producer.close();
    const expected = [...chunks, ...[...odd].reverse().map(text)];
    const all = await read();
    assert.ok(JSON.stringify(all.map(({ chunk }) => chunk)) === JSON.stringify(expected));
    const stored = await open().snapshot();
    assert.deepEqual(stored, all);
    for (const n of [0, 4, 5, 12]) {
      const rest = await collect(open().read(stored[n]?.offset as never));
      assert.deepEqual(rest, all.slice(n + 1));
    }
  });

  test("offsets stay exact while uploads are cut and answers are lost", async (t) => {
    const fixture = new Fixture("memory");
    t.after(() => fixture.close());
    const broker = (await fixture.broker()) as unknown as { url: string; apiKey: string };
    const proxy = await fixture.listen(new CuttingProxy([broker]));
    const cutting = new Client({ url: proxy.url, apiKey: broker.apiKey });
    const direct = new Client({ url: broker.url, apiKey: broker.apiKey });
    const producer = brokerStream({ runId: "r" }, { client: cutting });
    await producer.append([text("0")]);
    const offsets: string[] = [];
    for (let batch = 0; batch < 16; batch += 1) {
      // Half of the answers are cut at once, so that the writer sends the same events again.
      let answers = 0;
      proxy.onResponse = () => {
        answers += 1;
        if (batch % 2 === 0 && answers === 1) proxy.cutAll();
      };
      const chunks = Array.from({ length: 4 }, (_, n) => text(String(1 + batch * 4 + n)));
      offsets.push(...(await producer.append(chunks)));
    }
    proxy.onResponse = () => {};
    await producer.close();
    assert.ok(proxy.cuts >= 8, `${proxy.cuts} cuts`);
    assert.ok(
      offsets.some((offset) => offset.includes("+")),
      "some ids are not known",
    );
    for (const [n, offset] of offsets.entries()) {
      if (n % 5 !== 0 && !offset.includes("+")) continue;
      const log = brokerStream({ runId: "r" }, { client: direct });
      const rest = await collect(log.read(offset as never));
      assert.deepEqual(deltas(rest)[0], n === 63 ? undefined : String(n + 2));
      assert.equal(rest.length, 63 - n);
    }
  });

  test("a run is written once, also when its request is sent again", async (t) => {
    const { client, open, key, read } = await startRun(t);
    const first = open(request());
    await first.append([text("a")]);
    for (const isOver of [false, true]) {
      const second = open(request());
      await assert.rejects(second.append([text("b")]), { name: "RunError", code: "run-exists" });
      await assert.rejects(second.append([failed("x")]), { code: "run-exists" });
      await second.close();
      if (isOver) break;
      assert.equal((await client.streamInfo(key)).status, "active");
      await first.close();
    }
    assert.deepEqual(deltas(await read()), ["a"]);
  });

  test("another process continues a run", async (t) => {
    const { client, open, key, read } = await startRun(t, { lease: 0 });
    const [a] = await open(request()).append([text("a"), text("b")]);
    const next = open({ runId: "r" });
    const stored = await next.snapshot();
    assert.deepEqual(deltas(stored), ["a", "b"]);
    const offsets = await next.append([text("c"), text("d")]);
    await next.close();
    assert.deepEqual(deltas(await read()), ["a", "b", "c", "d"]);
    assert.deepEqual(deltas(await collect(open().read(a as never))), ["b", "c", "d"]);
    assert.deepEqual(deltas(await collect(open().read(offsets[0] as never))), ["d"]);
    assert.equal((await client.streamInfo(key)).status, "ended");
    await assert.rejects(open().append([text("e")]), { code: "run-exists" });
  });

  test("somebody else's events in the log are noticed", async (t) => {
    const { client, open, key } = await startRun(t);
    const producer = open();
    await producer.append([text("a")]);
    await client.addEvents(key, [{ event: "chunk", data: text("x") }]);
    await assert.rejects(producer.append([text("b")]), { code: "foreign-events" });
  });

  test("a stop aborts the run, and the log says who asked", async (t) => {
    const { client, open, key, read } = await startRun(t);
    const producer = open(request());
    await producer.append([text("a")]);
    const { signal } = producer.abortController;
    assert.equal(signal.aborted, false);
    await open(request()).requestStop();
    await until(() => signal.aborted, "the run is aborted");
    assert.equal(signal.reason, RUN_CANCEL_REASON);
    // Core stores what it has, and how it ended.
    await producer.append([text("b"), failed("Request aborted", "aborted")]);
    await producer.close();
    const { status, reason } = await client.streamInfo(key);
    assert.deepEqual([status, reason], ["cancelled", { reason: "stop", by: "api-key" }]);
    assert.deepEqual(deltas(await read()), ["a", "b", "RUN_ERROR"]);
    await open(request()).requestStop();
    await open({ runId: "unknown" }).requestStop();
  });

  test("a run that failed is a failed stream, with its message", async (t) => {
    const { client, open, key, read } = await startRun(t);
    const producer = open();
    const message = `No model ${"é".repeat(600)}`;
    await producer.append([text("a"), failed(message)]);
    await producer.close();
    const { status, reason } = await client.streamInfo(key);
    assert.equal(status, "failed");
    assert.deepEqual(reason, { code: "error", message: message.slice(0, 516) });
    assert.deepEqual(deltas(await read()), ["a", "RUN_ERROR"]);
  });

  test("an agent that goes on after an error of one turn has not failed", async (t) => {
    const { client, open, key } = await startRun(t);
    const producer = open();
    await producer.append([failed("once"), { type: "RUN_STARTED" } as StreamChunk, text("a")]);
    await producer.close();
    assert.equal((await client.streamInfo(key)).status, "ended");
    // It was not aborted, either.
    assert.equal(producer.abortController.signal.aborted, false);
  });

  test("an abort of the caller cancels the stream", async (t) => {
    const { client, open, key } = await startRun(t);
    const producer = open();
    await producer.append([failed("Request aborted", "aborted")]);
    await producer.close();
    const { status, reason } = await client.streamInfo(key);
    assert.deepEqual([status, reason], ["cancelled", { reason: "aborted" }]);
  });

  test("a producer keeps its lease in silence", async (t) => {
    const { client, open, key } = await startRun(t, { lease: 2 });
    const producer = open();
    await producer.append([text("a")]);
    const leaseOf = async () => Date.parse((await client.streamInfo(key)).lease_expires_at ?? "");
    const before = await leaseOf();
    await until(async () => (await leaseOf()) - before > 3_000, "the lease is renewed");
    await producer.append([text("b"), finished]);
    await producer.close();
    assert.equal((await client.streamInfo(key)).status, "ended");
  });

  test("a run whose producer dies is an error for its readers", async (t) => {
    const { client, open, key } = await startRun(t);
    const { generation } = await client.createStream(key, { lease: 2 });
    const chunk = { event: "chunk", data: JSON.stringify(finished) };
    await client.addEvents(key, [chunk]);
    const got: unknown[] = [];
    const read = async (offset: string) => {
      for await (const { chunk } of open().read(offset as never)) got.push(chunk);
    };
    await assert.rejects(read("-1"), { name: "SubscribeError", code: "stream-abandoned" });
    assert.deepEqual(got, [finished]);
    // Also for one that comes back after the last chunk.
    const { last_id } = await client.streamInfo(key);
    await assert.rejects(read(`${generation}:${last_id}`), { code: "stream-abandoned" });
  });

  test("a run that was cut short by others is an error, and is aborted", async (t) => {
    const { client, open, key, read } = await startRun(t);
    const ways = {
      fail: [() => client.failStream(key, { message: "Too busy" }), /Too busy/],
      cancel: [() => client.cancelStream(key, { reason: "enough" }), /The run was stopped/],
    } as const;
    for (const [finish, message] of Object.values(ways)) {
      const producer = open(request());
      await producer.append([text("a")]);
      await finish();
      await until(() => producer.abortController.signal.aborted, "the run is aborted");
      await assert.rejects(read(), { message });
      await assert.rejects(producer.append([text("b")]), { name: /PublishError|AbortError/ });
      // Nothing is left of this run for the next one.
      await client.createStream(key, { if_finished: "replace", ttl: 1 });
      await until(
        () =>
          client.streamInfo(key).then(
            () => false,
            () => true,
          ),
        "it expires",
      );
    }
  });

  test("an offset of a log that is gone is an error", async (t) => {
    const { client, open, key } = await startRun(t);
    const producer = open();
    const [offset] = await producer.append([text("a")]);
    await producer.close();
    await client.createStream(key);
    await assert.rejects(collect(open().read(offset as never)), { code: "run-not-found" });
    await assert.rejects(collect(open().read("1-1" as never)), { code: "invalid-offset" });
  });

  test("chunks that are no longer stored are an error", async (t) => {
    const { open, read } = await startRun(t, { stream: { max_events: 100 } });
    const producer = open();
    for (let n = 0; n < 10; n += 1) await producer.append(Array(100).fill(text("x")));
    await producer.close();
    await assert.rejects(read(), { code: "missed" });
    await assert.rejects(open().snapshot(), { code: "missed" });
  });

  test("ids of runs are checked", async (t) => {
    const { open } = await startRun(t);
    const invalid = { name: "RunError", code: "invalid-run-id" };
    assert.throws(() => open(new Request("http://chat/api")), invalid);
    for (const runId of ["", "a\nb", "é".repeat(130)])
      assert.throws(() => open({ runId }), invalid);
    assert.equal(open({ runId: "r" }).runId, "r");
  });

  test("runs of different prefixes are separate, and a log keeps its ttl", async (t) => {
    const { client, open } = await startRun(t, { stream: { ttl: 100 } });
    const other = brokerStream({ runId: "r" }, { client, keyPrefix: "mine" });
    await open().append([text("a")]);
    await other.append([text("b")]);
    assert.deepEqual(deltas(await open().snapshot()), ["a"]);
    assert.deepEqual(deltas(await other.snapshot()), ["b"]);
    const { ttl, lease_expires_at } = await client.streamInfo("tanstack-ai:r");
    // The lease is part of the life of the stream.
    assert.ok(ttl > 90 && ttl <= 130, `${ttl} s`);
    assert.ok(lease_expires_at);
    assert.ok((await client.streamInfo("mine:r")).ttl > 86_000);
  });
});
