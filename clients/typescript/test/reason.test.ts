import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { type StreamReason, subscribe, subscribeMany } from "tinistreamer/subscribe";
import { WebSocket } from "ws";
import { frame, line, ndjson, sse, startScript, stream } from "./scripted.js";
import { collect, startBroker, streamUrls } from "./support.js";

type Finish = (client: Awaited<ReturnType<typeof startBroker>>["client"]) => Promise<unknown>;

const cases: [string, Finish, StreamReason | null][] = [
  ["ended", (client) => client.endStream("k", { data: { code: "x" } }), null],
  ["cancelled", (client) => client.cancelStream("k"), null],
  [
    "cancelled",
    (client) => client.cancelStream("k", { reason: "enough", by: "user-7" }),
    { reason: "enough", by: "user-7" },
  ],
  [
    "failed",
    (client) => client.failStream("k", { code: "overloaded", message: "Later" }),
    { code: "overloaded", message: "Later" },
  ],
];

for (const transport of ["sse", "ws", "ndjson", "poll"] as const)
  describe(`over ${transport}`, () => {
    for (const [status, finish, reason] of cases)
      test(`the reason of a stream that is ${status}: ${JSON.stringify(reason)}`, async (t) => {
        const { client, url } = await startBroker(t);
        const { token } = await client.createStream("k");
        const { [transport]: at } = streamUrls(url, "k");
        const events = subscribe({ url: at, token, WebSocket });
        await events.next();
        assert.equal(events.reason, null);
        await finish(client);
        await collect(events);
        assert.deepEqual([events.status, events.reason], [status, reason]);
        const many = subscribeMany({ url: at, token, WebSocket });
        assert.deepEqual([...many.reasons], [["k", null]]);
        await collect(many);
        assert.deepEqual([...many.reasons], [["k", reason]]);
      });
  });

test("the reason of a stream that is abandoned", async (t) => {
  const { client, url } = await startBroker(t);
  const { token } = await client.createStream("k", { lease: 2 });
  const events = subscribe({ url: streamUrls(url, "k").sse, token });
  await collect(events);
  assert.deepEqual([events.status, events.reason], ["abandoned", { reason: "lease" }]);
});

describe("the reason", () => {
  const nothing = (_request: unknown, response: { writeHead(status: number): { end(): void } }) =>
    response.writeHead(204).end();
  const follow = async (t: TestContext, ...frames: string[]) => {
    const { url } = await startScript(t, stream(sse, ...frames), nothing);
    const events = subscribe({ url: `${url}/sse?key=k`, token: "t" });
    await collect(events);
    return events;
  };

  for (const data of ["half of {", "[1]", "7", "null", ""])
    test(`is null when the last event has ${JSON.stringify(data)}`, async (t) => {
      const events = await follow(t, frame("1-0", "cancel", data));
      assert.deepEqual([events.status, events.reason], ["cancelled", null]);
    });

  test("is null when nothing followed the id", async (t) => {
    const { url } = await startScript(t, nothing);
    const events = subscribe({ url: `${url}/sse?key=k`, token: "t", after: "1-5" });
    await collect(events);
    assert.deepEqual([events.status, events.reason], [null, null]);
  });

  test("does not come from an ordinary event named `fail`", async (t) => {
    const events = await follow(t, frame("1-0", "fail", '{"code":"x"}'), frame("1-1", "end"));
    assert.deepEqual([events.status, events.reason], ["ended", null]);
  });

  test("of several streams is not ahead of the reader", async (t) => {
    const last = (key: string, status: string, data: string) => ({
      key,
      id: "1-0",
      event: status === "failed" ? "fail" : "cancel",
      data,
      stream_status: status,
    });
    const { url } = await startScript(
      t,
      stream(
        ndjson,
        line(last("a", "failed", '{"code":"x"}')),
        line(last("b", "cancelled", '{"by":"u"}')),
      ),
    );
    const events = subscribeMany({ url: `${url}/ndjson`, keys: ["a", "b"], token: "t" });
    await events.next();
    assert.deepEqual(
      [...events.reasons],
      [
        ["a", { code: "x" }],
        ["b", null],
      ],
    );
    await events.next();
    assert.deepEqual(
      [...events.reasons],
      [
        ["a", { code: "x" }],
        ["b", { by: "u" }],
      ],
    );
  });
});
