import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type KeyedEvent, RefusedError, subscribeMany } from "tinistreamer/subscribe";
import {
  frame,
  json,
  line,
  ndjson,
  refusing,
  retry,
  sse,
  startScript,
  staying,
  stream,
  summary,
} from "./scripted.js";
import { collect, until } from "./support.js";

describe("over server-sent events", () => {
  test("events contain their keys, and the last cursor resumes all streams", async (t) => {
    const { url, requests, keys } = await startScript(
      t,
      stream(
        sse,
        retry + frame("a%2Fb:1-0", "start") + frame("b:2-0,~A", "start"),
        frame("a%2Fb:1-1,~B"),
        "id: b:2-1,~lost",
      ),
      stream(sse, retry, frame("b:2-1!,~C", "end")),
      stream(sse, frame("a%2Fb:1-2!,~D", "cancel")),
    );
    const events = subscribeMany({
      url: `${url}/sse?key=left+out`,
      keys: ["a/b", "b", "b"],
      token: "t",
    });
    assert.deepEqual(summary(await collect(events)), [
      ["a/b", "1-0", "start"],
      ["b", "2-0", "start"],
      ["a/b", "1-1", "token"],
      ["b", "2-1", "end"],
      ["a/b", "1-2", "cancel"],
    ]);
    assert.deepEqual(Object.fromEntries(events.statuses), { "a/b": "cancelled", b: "ended" });
    assert.deepEqual(keys(), ["a/b,b", "a/b,b", "a/b"]);
    assert.deepEqual(
      requests.map(({ after }) => after),
      [undefined, "a%2Fb:1-1,~B", "b:2-1!,~C"],
    );
    assert.equal(events.cursor, "b:2-1!,a%2Fb:1-2!,~D");
  });

  test("a block with only an id moves the position, and is not an event", async (t) => {
    const { url, requests } = await startScript(
      t,
      stream(sse, retry, "id: a:1-7,~A\n\n"),
      stream(sse, frame("a:1-8!,~B", "end"), frame("b:1-3!,~C", "end")),
    );
    const events = subscribeMany({ url: `${url}/sse`, keys: ["a", "b"], token: "t", from: "now" });
    assert.deepEqual(summary(await collect(events)), [
      ["a", "1-8", "end"],
      ["b", "1-3", "end"],
    ]);
    assert.equal(requests[0]?.query.get("from"), "now");
    assert.equal(requests[1]?.after, "a:1-7,~A");
  });

  test("a gap in one of the streams is an error", async (t) => {
    const { url } = await startScript(
      t,
      stream(sse, frame("a:1-0", "start"), frame("b:1-0,~A", "start"), frame("a:1-2,~B")),
    );
    const events = subscribeMany({ url: `${url}/sse`, keys: ["a", "b"], token: "t" });
    await assert.rejects(collect(events), { name: "SubscribeError", code: "gap" });
  });

  test("a deleted stream delivers a missedevents, and the others go on", async (t) => {
    const gone = { after: "1-0", first: null, missed: null };
    const { url, keys } = await startScript(
      t,
      stream(sse, retry, frame("a:1-0", "start"), frame("b:1-0,~A", "start")),
      stream(sse, retry, frame("a:1-0,~B", "missedevents", JSON.stringify(gone))),
      stream(sse, frame("1-1", "end")),
    );
    const events = subscribeMany({ url: `${url}/sse`, keys: ["a", "b"], token: "t" });
    const all = await collect(events);
    assert.deepEqual(summary(all).slice(2), [
      ["a", null, "missedevents"],
      ["b", "1-1", "end"],
    ]);
    assert.deepEqual(all[2]?.missed, gone);
    assert.deepEqual(Object.fromEntries(events.statuses), { a: "gone", b: "ended" });
    // On a connection to one stream the frames contain no key.
    assert.deepEqual(keys(), ["a,b", "a,b", "b"]);
  });

  test("adding a stream connects again at the cursor, awaited in the loop", async (t) => {
    const { url, requests, keys } = await startScript(
      t,
      staying(sse, frame("1-0", "start")),
      staying(sse, frame("b:2-5,~A"), frame("a:1-1!,~B", "end"), frame("b:2-6!,~C", "end")),
    );
    const events = subscribeMany({ url: `${url}/sse`, keys: ["a"], token: "t" });
    const all: KeyedEvent[] = [];
    for await (const event of events) {
      all.push(event);
      if (event.event === "start") {
        await events.add("b", { after: "2-4" });
        assert.deepEqual([...events.statuses.keys()], ["a", "b"]);
        // The events that were read ahead are not handed out yet.
        assert.equal(events.cursor, "a:1-0,b:2-4");
      }
    }
    assert.deepEqual(summary(all), [
      ["a", "1-0", "start"],
      ["b", "2-5", "token"],
      ["a", "1-1", "end"],
      ["b", "2-6", "end"],
    ]);
    assert.deepEqual(keys(), ["a", "a,b"]);
    assert.equal(requests[1]?.after, "a:1-0,b:2-4");
  });

  test("a refused stream is not added, and the others go on", async (t) => {
    const { url, keys } = await startScript(
      t,
      staying(sse, frame("1-0", "start")),
      refusing(403, "forbidden"),
      staying(sse, frame("1-1", "end")),
    );
    const events = subscribeMany({ url: `${url}/sse`, keys: ["a"], token: "t" });
    await events.next();
    await assert.rejects(events.add("b"), (error) => {
      return error instanceof RefusedError && error.code === "forbidden" && error.key === "b";
    });
    assert.deepEqual(summary(await collect(events)), [["a", "1-1", "end"]]);
    assert.deepEqual(keys(), ["a", "a,b", "a"]);
  });

  test("a dropped stream is not requested, and starts again when added again", async (t) => {
    const { url, requests, keys } = await startScript(
      t,
      staying(sse, frame("a:1-0", "start"), frame("b:1-0,~A", "start")),
      staying(sse),
      staying(
        sse,
        frame("b:1-0,~B", "start"),
        frame("b:1-1!,~B", "end"),
        frame("a:1-1!,~C", "end"),
      ),
    );
    const events = subscribeMany({ url: `${url}/sse`, keys: ["a", "b"], token: "t" });
    await events.next();
    await events.next();
    await events.drop("b");
    assert.deepEqual([...events.statuses.keys()], ["a"]);
    await assert.rejects(events.drop("b"), { name: "RefusedError", code: "not-subscribed" });
    await until(() => requests.length === 2, "the connection without b");
    await events.add("b");
    assert.deepEqual(summary(await collect(events)), [
      ["b", "1-0", "start"],
      ["b", "1-1", "end"],
      ["a", "1-1", "end"],
    ]);
    assert.deepEqual(keys(), ["a,b", "a", "a,b"]);
    // The opaque item may still contain its earlier position.
    assert.equal(requests[2]?.after, "b:,~A");
  });

  test("without a stream the subscription waits for one, and has no connection", async (t) => {
    const { url, keys } = await startScript(
      t,
      staying(sse, frame("1-0", "start"), frame("1-1", "end")),
    );
    const events = subscribeMany({ url: `${url}/sse`, keys: [], token: "t", giveUpAfterMs: 100 });
    const all = collect(events);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.deepEqual(keys(), []);
    await events.add("a");
    assert.equal((await all).length, 2);
  });
});

describe("over NDJSON", () => {
  test("the subscription keeps the positions, and a position alone is not an event", async (t) => {
    const { url, requests } = await startScript(
      t,
      stream(
        ndjson,
        line({ key: "a", id: "1-0", event: "start" }),
        `\n${line({ key: "b", id: "1-0", event: "start" }).slice(0, 9)}`,
      ),
      stream(
        ndjson,
        "\n",
        line({ key: "b", id: "1-0", event: "start" }),
        line({ key: "a", id: "1-1", event: "metric.x", data: "ü\u2028🦀" }),
        line({ key: "a", id: "1-5" }),
        line({ key: "b", id: "1-4", event: "end" }),
      ),
      stream(ndjson, line({ key: "a", id: "1-9", event: "end" })),
    );
    const events = subscribeMany({
      url: `${url}/ndjson`,
      keys: ["a", "b"],
      token: "t",
      events: ["metric*", "x"],
      clientName: "board 1",
      tags: ["x", "y"],
    });
    const all = await collect(events);
    assert.deepEqual(summary(all), [
      ["a", "1-0", "start"],
      ["b", "1-0", "start"],
      ["a", "1-1", "metric.x"],
      ["b", "1-4", "end"],
      ["a", "1-9", "end"],
    ]);
    assert.equal(all[2]?.data, "ü\u2028🦀");
    assert.deepEqual(
      requests.map(({ after }) => after),
      [undefined, "a:1-0", "a:1-5,b:1-4!"],
    );
    const { events: names, client_name, tags } = Object.fromEntries(requests[0]?.query ?? []);
    assert.deepEqual([names, client_name, tags], ["metric*,x", "board 1", "x,y"]);
  });

  test("filtered events may leave gaps, but must not repeat", async (t) => {
    const { url } = await startScript(
      t,
      stream(
        ndjson,
        line({ key: "a", id: "1-3", event: "x" }),
        line({ key: "a", id: "1-3", event: "x" }),
      ),
    );
    const events = subscribeMany({ url: `${url}/ndjson`, keys: ["a"], token: "t", events: ["x"] });
    await assert.rejects(collect(events), { code: "gap" });
  });

  test("a missing stream starts with its first event, also after a break", async (t) => {
    const { url, requests } = await startScript(
      t,
      stream(ndjson, line({ key: "a", id: "1-7" }), "\n"),
      stream(
        ndjson,
        line({ key: "b", id: "1-0", event: "end" }),
        line({ key: "a", id: "1-8", event: "end" }),
      ),
    );
    const events = subscribeMany({
      url: `${url}/ndjson`,
      keys: ["a", "b"],
      token: "t",
      from: "now",
      wait: true,
    });
    assert.equal((await collect(events)).length, 2);
    assert.deepEqual(
      requests.map(({ query, after }) => [query.get("from"), query.get("wait"), after]),
      [
        ["now", "true", undefined],
        [null, "true", "a:1-7,b:"],
      ],
    );
  });

  test("a stream is added with its own start position", async (t) => {
    const { url, requests } = await startScript(
      t,
      staying(ndjson, line({ key: "a", id: "1-0", event: "start" })),
      staying(ndjson),
      staying(
        ndjson,
        line({ key: "b", id: "1-3" }),
        line({ key: "b", id: "1-4", event: "end" }),
        line({ key: "c", id: "1-0", event: "end" }),
        line({ key: "a", id: "1-1", event: "end" }),
      ),
    );
    const events = subscribeMany({ url: `${url}/ndjson`, keys: ["a"], token: "t" });
    await events.next();
    await events.add("b", { from: new Date(0) });
    await events.add("c", { wait: true });
    await collect(events);
    assert.deepEqual(
      requests.map(({ query, after }) => [query.get("from"), query.get("wait"), after]),
      [
        [null, null, undefined],
        ["1970-01-01T00:00:00.000Z", null, "a:1-0"],
        // A connection has one `from`. For a stream with another start position the cursor contains
        // `KEY:`, the position before the first event.
        ["1970-01-01T00:00:00.000Z", "true", "a:1-0,c:"],
      ],
    );
  });
});

describe("over long polling", () => {
  const event = (key: string, id: string, event: string) => ({ key, id, event });

  test("each request has the last cursor, until all streams are finished", async (t) => {
    const { url, requests } = await startScript(
      t,
      json({
        events: [event("a", "1-0", "start"), event("b", "1-0", "start")],
        cursor: "~A",
        status: "active",
      }),
      json({ events: [], cursor: "~B", status: "active" }),
      json({
        events: [event("a", "1-1", "end"), event("b", "1-1", "cancel")],
        cursor: "a:1-1!,~C",
        status: "ended",
      }),
    );
    const events = subscribeMany({ url: `${url}/poll`, keys: ["a", "b"], token: "t", wait: true });
    assert.equal((await collect(events)).length, 4);
    assert.deepEqual(Object.fromEntries(events.statuses), { a: "ended", b: "cancelled" });
    assert.deepEqual(
      requests.map(({ query, after }) => [query.getAll("wait"), after]),
      [
        [["true", "25"], undefined],
        [["true", "25"], "~A"],
        [["true", "25"], "~B"],
      ],
    );
  });

  test("inside a response the cursor is the reader's position", async (t) => {
    const { url } = await startScript(
      t,
      json({
        events: [event("a", "1-4", "x"), event("a", "1-5", "x")],
        cursor: "~B",
        status: "active",
      }),
    );
    const events = subscribeMany({ url: `${url}/poll`, keys: ["a", "b"], token: "t", after: "~A" });
    await events.next();
    assert.equal(events.cursor, "a:1-4,~A");
    await events.return();
  });

  test("without events after the cursor it is over, and statuses are null", async (t) => {
    const { url } = await startScript(t, json({ events: [], cursor: "~A", status: "ended" }));
    const events = subscribeMany({ url: `${url}/poll`, keys: ["a", "b"], token: "t", after: "~A" });
    assert.deepEqual(await collect(events), []);
    assert.deepEqual(Object.fromEntries(events.statuses), { a: null, b: null });
  });

  test("a response that is held back for too long is requested again", async (t) => {
    const { url, requests } = await startScript(
      t,
      () => {},
      json({ events: [event("a", "1-0", "end")], cursor: "1-0", status: "ended" }),
    );
    const events = subscribeMany({ url: `${url}/poll`, keys: ["a"], token: "t", silenceMs: 100 });
    assert.equal((await collect(events)).length, 1);
    assert.deepEqual(
      requests.map(({ query }) => query.get("wait")),
      ["1", "1"],
    );
  });
});
