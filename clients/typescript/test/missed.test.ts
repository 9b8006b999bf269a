import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { subscribe, subscribeMany } from "tinistreamer/subscribe";
import { WebSocket } from "ws";
import { collect, startBroker, startServer, streamUrls } from "./support.js";

const frame = (number: number, event = "token", data = String(number)) =>
  `id: 1-${number}\nevent: ${event}\ndata: ${data}\n\n`;
const missed = (after: string | null, first: string | null, count: number | null) =>
  `event: missedevents\ndata: ${JSON.stringify({ after, first, missed: count })}\n\n`;

/** A server that answers each connection with the next of these texts, over server-sent events. */
function answering(...answers: string[]): Parameters<typeof startServer>[1] {
  return (_, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.end(`retry: 1\n\n${answers.shift() ?? ""}`);
  };
}

/** A stream of the broker's default size, with more tokens than it keeps. */
async function startOverfull(t: Parameters<typeof startBroker>[0]) {
  const { client, url } = await startBroker(t);
  const { token } = await client.createStream("k", { max_events: null });
  await client.addEvents(
    "k",
    Array.from({ length: 1500 }, (_, n) => ({ event: "token", data: `${n} ` })),
  );
  await client.endStream("k");
  const stored = await client.streamEvents("k");
  return { urls: streamUrls(url, "k"), token, stored, lost: 1502 - stored.length };
}

describe("events that are no longer stored", () => {
  for (const transport of ["sse", "ws", "ndjson", "poll"] as const) {
    test(`are counted by the subscription, over ${transport}`, async (t) => {
      const { urls, token, lost } = await startOverfull(t);
      const events = subscribe({ url: urls[transport], token, WebSocket });
      assert.equal(events.missed, null);
      await collect(events);
      assert.ok(lost > 0);
      assert.deepEqual(events.missed, { count: lost, known: true });
    });
  }

  test("make `text` throw, unless allowMissed is set", async (t) => {
    const { urls, token, stored, lost } = await startOverfull(t);
    const follow = () => subscribe({ url: urls.sse, token });
    const error = {
      name: "SubscribeError",
      code: "missed",
      message: new RegExp(`^${lost} events`),
    };
    await assert.rejects(follow().text(), error);
    await assert.rejects(follow().collect(), error);
    const rest = stored.filter(({ event }) => event === "token").map(({ data }) => data);
    const events = follow();
    assert.equal(await events.text({ allowMissed: true }), rest.join(""));
    assert.deepEqual(events.missed, { count: lost, known: true });
    assert.equal((await follow().collect({ allowMissed: true })).length, stored.length + 1);
  });

  test("are counted once when the connection breaks before the next event", async (t) => {
    const url = await startServer(
      t,
      answering(
        frame(0) + missed("1-0", "1-5", 4),
        missed("1-0", "1-7", 6) + frame(7),
        missed("1-7", "1-9", 1) + frame(9, "end", ""),
      ),
    );
    const events = subscribe({ url: `${url}/sse`, token: "t" });
    await collect(events);
    assert.deepEqual(events.missed, { count: 7, known: true });
  });

  test("that the broker could not count make the total unknown", async (t) => {
    const url = await startServer(
      t,
      answering(missed("1-9", "1-0", null) + frame(0) + frame(1, "end", "")),
    );
    const events = subscribe({ url: `${url}/sse`, token: "t", after: "1-9" });
    await collect(events);
    assert.deepEqual(events.missed, { count: 0, known: false });
  });

  test("are summed over several streams", async (t) => {
    const of = (key: string, id: string, event: string, data: string) =>
      `id: ${key}:${id}\nevent: ${event}\ndata: ${data}\n\n`;
    const loss = (first: string | null, count: number | null) =>
      JSON.stringify({ after: null, first, missed: count });
    const url = await startServer(
      t,
      answering(
        of("a", "", "missedevents", loss("1-3", 3)) +
          of("a", "1-3", "end", "") +
          of("b", "", "missedevents", loss("1-2", 2)) +
          of("b", "1-2", "end", ""),
      ),
    );
    const events = subscribeMany({ url: `${url}/sse`, keys: ["a", "b"], token: "t" });
    assert.equal(events.missed, null);
    await collect(events);
    assert.deepEqual(events.missed, { count: 5, known: true });
  });
});

test("a stream keeps a long answer, unless its creator sets max_events", async (t) => {
  const { client, url } = await startBroker(t);
  const { token } = await client.createStream("k");
  const words = Array.from({ length: 1500 }, (_, n) => `${n} `);
  await client.publish("k", (writer) => writer.pipeFrom(words, "token"));
  const events = subscribe({ url: streamUrls(url, "k").sse, token });
  assert.equal(await events.text(), words.join(""));
  assert.equal(events.missed, null);
});

test("a subscription calls onConnect and onReconnect", async (t) => {
  const calls: string[] = [];
  const url = await startServer(t, answering(frame(0), frame(1, "end", "")));
  const events = subscribe({
    url: `${url}/sse`,
    token: "t",
    onConnect: () => calls.push("connected"),
    onReconnect: (cause) => calls.push((cause as Error).name),
  });
  await collect(events);
  assert.deepEqual(calls, ["connected", "Error", "connected"]);
});

test("the error for an incomplete subscription names the missing option", () => {
  const none = undefined as unknown as string;
  assert.throws(() => subscribe({ url: none, token: "t" }), {
    name: "TypeError",
    message: /`url`/,
  });
  assert.throws(() => subscribe({ url: "http://127.0.0.1/sse", token: none }), {
    name: "TypeError",
    message: /`token`/,
  });
});
