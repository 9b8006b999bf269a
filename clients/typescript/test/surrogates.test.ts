import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Client, Writer } from "tinistreamer";
import { WebSocket } from "ws";
import { startBroker } from "./support.js";

const [HIGH, LOW] = ["\ud83d", "\ude00"];

/** The events that the broker stores for these steps of a writer, without `start` and `end`. */
async function written(client: Client, write: (writer: Writer) => Promise<void>, options = {}) {
  await client.createStream("k");
  await client.publish("k", write, options);
  const stored = await client.streamEvents("k");
  return stored.slice(1, -1).map(({ event, data }) => [event, data]);
}

for (const transport of ["ndjson", "websocket"] as const) {
  describe(`half a character, over ${transport}`, () => {
    const options = { transport, WebSocket };

    test("is joined with the other half in the next write of that event name", async (t) => {
      const { client } = await startBroker(t);
      const stored = await written(
        client,
        async (writer) => {
          await writer.write("token", `a${HIGH}`);
          await writer.flush();
          await writer.write("thought", `${HIGH}`);
          await writer.write("usage", { tokens: 2 });
          await writer.write("token", `${LOW}b`);
          await writer.write("thought", LOW);
        },
        options,
      );
      assert.deepEqual(stored, [
        ["token", "a"],
        ["thought", ""],
        ["usage", '{"tokens":2}'],
        ["token", "😀b"],
        ["thought", "😀"],
      ]);
    });

    test("without its other half becomes U+FFFD", async (t) => {
      const { client } = await startBroker(t);
      const stored = await written(
        client,
        async (writer) => {
          await writer.write("token", `${LOW}a${HIGH}b`);
          await writer.write("token", HIGH);
          await writer.write("token", `c${HIGH}`);
        },
        options,
      );
      assert.deepEqual(stored, [
        ["token", "\ufffda\ufffdb"],
        ["token", ""],
        ["token", "\ufffdc"],
        ["token", "\ufffd"],
      ]);
    });
  });
}

test("half a character in nested data becomes U+FFFD, and nothing else changes", async (t) => {
  const { client } = await startBroker(t);
  const values = [
    { delta: HIGH },
    { delta: LOW, [HIGH]: [`a${HIGH}bc`] },
    { text: "\\ud83d \\\\ud83d \u0000 😀" },
  ];
  const stored = await written(client, async (writer) => {
    for (const value of values) await writer.write("value", value);
  });
  assert.deepEqual(
    stored.map(([, data]) => JSON.parse(String(data))),
    [{ delta: "\ufffd" }, { delta: "\ufffd", "\ufffd": ["a\ufffdbc"] }, values[2]],
  );
});

test("half a character in a batch becomes U+FFFD", async (t) => {
  const { client } = await startBroker(t);
  await client.createStream("k");
  await client.addEvents("k", [{ event: "token", data: `a${HIGH}` }]);
  assert.equal((await client.streamEvents("k"))[1]?.data, "a\ufffd");
});
