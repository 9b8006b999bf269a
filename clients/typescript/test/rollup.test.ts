import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { type StreamEvent, subscribe, subscribeMany } from "tinistreamer/subscribe";
import { WebSocket } from "ws";
import { frame, line, ndjson, retry, sse, startScript, stream } from "./scripted.js";
import { collect, startBroker, streamUrls } from "./support.js";

const summary = (events: StreamEvent[]) =>
  events.map(({ id, event, data, count }) => [Number(id?.split("-")[1]), event, data, count]);

/** A frame that stands for several events. */
const rolled = (count: number, number: number, data = "") =>
  `:rollup ${count}\n${frame(`1-${number}`, "token", data)}`;

async function startStream(t: TestContext) {
  const { client, url } = await startBroker(t);
  const { token } = await client.createStream("k");
  const events = ["a", "b", "c"].map((data) => ({ event: "token", data }));
  await client.addEvents("k", [...events, { event: "other" }, ...events]);
  await client.endStream("k");
  return { client, token, url, urls: streamUrls(url, "k") };
}

describe("rollup", () => {
  for (const transport of ["sse", "ws", "ndjson", "poll"] as const)
    test(`joins events over ${transport}, and a resume is exact`, async (t) => {
      const { client, token, urls, url } = await startStream(t);
      const options = { url: urls[transport], token, WebSocket, rollup: "token" };
      assert.deepEqual(summary(await collect(subscribe(options))), [
        [0, "start", "", 1],
        [3, "token", "abc", 3],
        [4, "other", "", 1],
        [7, "token", "abc", 3],
        [8, "end", "", 1],
      ]);
      const ids = (await client.streamEvents("k")).map(({ id }) => id);
      const inside = subscribe({ ...options, after: ids[5] });
      assert.deepEqual(summary(await collect(inside)), [
        [7, "token", "bc", 2],
        [8, "end", "", 1],
      ]);
      const many = { ...options, url: `${urls[transport].replace(/\?.*/, "")}`, keys: ["k"] };
      const both = await collect(subscribeMany(many));
      assert.deepEqual(
        both.map(({ count }) => count),
        [1, 3, 1, 3, 1],
      );
      assert.ok(url);
    });

  test("joins a string in JSON, at a path for each name", async (t) => {
    const { client, url } = await startBroker(t);
    const { token } = await client.createStream("k");
    await client.addEvents("k", [
      { event: "delta", data: { id: 1, text: "Hel" } },
      { event: "delta", data: { id: 1, text: "lo" } },
      { event: "token", data: "x" },
      { event: "token", data: "y" },
    ]);
    await client.endStream("k");
    const events = await collect(
      subscribe({
        url: streamUrls(url, "k").sse,
        token,
        rollup: ["delta", "token"],
        rollupPath: ["/text", ""],
        rollupMs: 0,
      }),
    );
    assert.deepEqual(
      events.slice(1, 3).map(({ data, count }) => [data, count]),
      [
        ['{"id":1,"text":"Hello"}', 2],
        ["xy", 2],
      ],
    );
  });

  test("puts its options into the query", async (t) => {
    const { url, requests } = await startScript(t, (_request, response) =>
      response.writeHead(204).end(),
    );
    const options = { rollup: ["a", "b"], rollupPath: ["/x", ""], rollupMs: 50 };
    await collect(subscribe({ url: `${url}/sse?key=k&rollup=old`, token: "t", ...options }));
    assert.equal(
      requests[0]?.query.toString(),
      "key=k&rollup=a&rollup=b&rollup_path=%2Fx&rollup_path=&rollup_ms=50",
    );
  });

  const broken: [string, string][] = [
    ["misses an event before the joined ones", rolled(2, 3)],
    ["repeats an event", rolled(2, 1)],
    ["has no number", frame("1-2")],
    ["keeps the number for a later event", rolled(2, 2) + frame("1-4")],
  ];
  for (const [what, frames] of broken)
    test(`that ${what} is a gap`, async (t) => {
      const { url } = await startScript(t, stream(sse, frame("1-0", "start"), frames));
      const events = subscribe({ url: `${url}/sse?key=k`, token: "t", rollup: "token" });
      await assert.rejects(collect(events), { name: "SubscribeError", code: "gap" });
    });

  test("with an event names filter only checks that events do not repeat", async (t) => {
    const follow = async (...frames: string[]) => {
      const { url } = await startScript(t, stream(ndjson, ...frames));
      const options = { rollup: "token", events: ["token"] };
      return collect(subscribe({ url: `${url}/ndjson?key=k`, token: "t", ...options }));
    };
    const joined = (number: number, count: number) =>
      line({ id: `1-${number}`, event: "token", count });
    assert.equal(
      (await follow(joined(5, 3), joined(9, 2), line({ id: "1-10", event: "end" }))).length,
      3,
    );
    await assert.rejects(follow(joined(5, 3), joined(7, 3)), { code: "gap" });
  });

  test("continues after a break with the joined event's id", async (t) => {
    const { url, requests } = await startScript(
      t,
      stream(sse, retry, frame("1-0", "start"), rolled(3, 3, "abc"), ":rollup 2\n"),
      stream(sse, rolled(2, 5, "de"), frame("1-6", "end")),
    );
    const events = subscribe({ url: `${url}/sse?key=k`, token: "t", rollup: "token" });
    assert.equal(await events.text(), "abcde");
    assert.deepEqual(
      requests.map(({ after }) => after),
      [undefined, "1-3"],
    );
  });

  test("after events that are no longer stored", async (t) => {
    const missed = '{"after":null,"first":"1-5","missed":5}';
    const { url } = await startScript(
      t,
      stream(sse, `event: missedevents\ndata: ${missed}\n\n`, rolled(3, 7), frame("1-8", "end")),
    );
    const events = subscribe({ url: `${url}/sse?key=k`, token: "t", rollup: "token" });
    assert.equal((await collect(events)).length, 3);
  });
});
