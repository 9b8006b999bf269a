// What TanStack AI expects of a `StreamDurability`: its own passes the same tests.

import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { memoryStream, type StreamChunk } from "@tanstack/ai";
import { brokerStream } from "tinistreamer/tanstack-ai";
import { collect, startBroker, until } from "./support.js";
import { deltas, finished, text } from "./tanstack-ai.js";

type Source = Request | { runId: string };
type Open = (source: Source) => ReturnType<typeof memoryStream> | ReturnType<typeof brokerStream>;

/** This package's function, on a real broker. */
async function ours(t: TestContext): Promise<Open> {
  const { client } = await startBroker(t);
  return (source) => brokerStream(source, { client });
}

/** The function of TanStack AI. */
async function original(): Promise<Open> {
  const suffix = Math.random();
  const named = (source: Source): Source =>
    source instanceof Request ? source : { ...source, runId: `${source.runId}-${suffix}` };
  return (source) => memoryStream(named(source));
}

for (const [whose, start] of Object.entries({ ours, "the original": original })) {
  describe(`StreamDurability, ${whose}`, () => {
    test("a reader gets each chunk, also of a run that is still written", async (t) => {
      const open = await start(t);
      const producer = open({ runId: "r" });
      assert.equal(producer.resumeFrom(), null);
      await producer.append([text("a"), text("b")]);
      const read = open({ runId: "r" }).read("-1" as never);
      const all = collect(read);
      // The end of one turn of an agent is not the end of the run.
      await producer.append([finished]);
      await producer.append([text("c"), finished]);
      await producer.close();
      assert.deepEqual(deltas(await all), ["a", "b", "RUN_FINISHED", "c", "RUN_FINISHED"]);
    });

    test("a reader continues strictly after each offset", async (t) => {
      const open = await start(t);
      const producer = open({ runId: "r" });
      const offsets: string[] = [];
      for (const size of [1, 3, 1, 2, 5]) {
        const batch = Array.from({ length: size }, (_, n) => text(String(offsets.length + n)));
        offsets.push(...(await producer.append(batch)));
      }
      await producer.close();
      assert.equal(new Set(offsets).size, 12);
      for (const [n, offset] of offsets.entries()) {
        assert.match(offset, /^\S+$/);
        const rest = await collect(open({ runId: "r" }).read(offset as never));
        assert.deepEqual(
          deltas(rest),
          Array.from({ length: 11 - n }, (_, more) => String(n + 1 + more)),
        );
      }
    });

    test("the offsets that a reader gets are resumable, too", async (t) => {
      const open = await start(t);
      const producer = open({ runId: "r" });
      await producer.append(["a", "b", "c", "d"].map(text));
      await producer.close();
      const chunks = await collect(open({ runId: "r" }).read("-1" as never));
      for (const [n, { offset }] of chunks.entries()) {
        const rest = await collect(open({ runId: "r" }).read(offset as never));
        assert.deepEqual(deltas(rest), ["a", "b", "c", "d"].slice(n + 1));
      }
    });

    test("a reader at the end gets what is written later", async (t) => {
      const open = await start(t);
      const producer = open({ runId: "r" });
      await producer.append([text("a")]);
      const later = open({ runId: "r" })
        .read("now" as never)
        [Symbol.asyncIterator]();
      let first: unknown;
      const got = later.next().then(({ value }) => {
        first = value;
      });
      // The reader's position is fixed only when its request has reached the broker.
      await until(async () => {
        await producer.append([text("b")]);
        return first;
      }, "the reader gets a chunk");
      await got;
      assert.deepEqual(deltas([first as { chunk: StreamChunk }]), ["b"]);
      await later.return?.();
      await producer.close();
    });

    test("an abort ends a reader that waits, without an error", async (t) => {
      const open = await start(t);
      const producer = open({ runId: "r" });
      await producer.append([text("a")]);
      const leaving = new AbortController();
      const got: unknown[] = [];
      for await (const { chunk } of open({ runId: "r" }).read("-1" as never, leaving.signal)) {
        got.push(chunk);
        setTimeout(() => leaving.abort(), 10);
      }
      assert.deepEqual(got, [text("a")]);
      await producer.close();
    });

    test("a snapshot has what is stored, and waits for nothing", async (t) => {
      const open = await start(t);
      assert.deepEqual(await open({ runId: "r" }).snapshot(), []);
      const producer = open({ runId: "r" });
      const offsets = await producer.append([text("a"), text("b")]);
      const stored = await open({ runId: "r" }).snapshot();
      assert.deepEqual(deltas(stored), ["a", "b"]);
      stored.pop();
      assert.equal((await producer.snapshot()).length, 2);
      await producer.append([text("c")]);
      await producer.close();
      for (const offset of [stored[0]?.offset, offsets[0]])
        assert.deepEqual(deltas(await collect(producer.read(offset as never))), ["b", "c"]);
    });

    test("a run that nobody writes is an error for a reader", async (t) => {
      const open = await start(t);
      await assert.rejects(collect(open({ runId: "r" }).read("-1" as never)));
      const producer = open({ runId: "r" });
      const [offset] = await producer.append([text("a")]);
      await producer.close();
      await assert.rejects(collect(open({ runId: "other" }).read(offset as never)));
      await assert.rejects(collect(open({ runId: "r" }).read("nonsense" as never)));
    });

    test("a reader may be there before the producer", async (t) => {
      const open = await start(t);
      const all = collect(open({ runId: "r" }).read("-1" as never));
      const producer = open({ runId: "r" });
      await producer.append([text("a")]);
      await producer.close();
      assert.deepEqual(deltas(await all), ["a"]);
    });

    test("a request says which run it means, and where it continues", async (t) => {
      const open = await start(t);
      const id = `r-${Math.random()}`;
      const url = "http://chat/api";
      const writing = new Request(`${url}?runId=other`, { headers: { "X-Run-Id": id } });
      const producer = open(writing);
      assert.equal(producer.resumeFrom(), null);
      const [offset = ""] = await producer.append([text("a"), text("b")]);
      await producer.close();
      const whole = open(new Request(`${url}?offset=-1&runId=${id}`));
      assert.equal(whole.resumeFrom(), "-1");
      assert.equal((await collect(whole.read("-1" as never))).length, 2);
      const headers = { "X-Run-Id": id, "Last-Event-ID": offset };
      const rest = open(new Request(`${url}?offset=-1`, { headers }));
      assert.equal(rest.resumeFrom(), offset);
      assert.deepEqual(deltas(await collect(rest.read(offset as never))), ["b"]);
    });
  });
}
