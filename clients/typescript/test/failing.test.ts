import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Client, type Writer } from "tinistreamer";
import { WebSocket } from "ws";
import { startBroker, startServer, until } from "./support.js";

const failure = new Error("the model failed");
const tokens = Array.from({ length: 300 }, (_, n) => String(n));

/** Writes without waiting, and throws. */
const failing = (writer: Writer) => {
  for (const token of tokens) void writer.write("token", token);
  throw failure;
};

const stored = async (client: Client) =>
  (await client.streamEvents("k")).map(({ event, data }) => data ?? event);

for (const transport of ["ndjson", "websocket"] as const) {
  describe(`a writer over ${transport}`, () => {
    const options = { transport, WebSocket };

    test("stores the events written before an error, and cancels the stream", async (t) => {
      const { client } = await startBroker(t);
      await client.createStream("k");
      await assert.rejects(client.publish("k", failing, options), failure);
      assert.deepEqual(await stored(client), ["start", ...tokens, "cancel"]);
    });

    test("stores the chunks that came before the source failed", async (t) => {
      const { client } = await startBroker(t);
      await client.createStream("k");
      let sent = 0;
      const source = new ReadableStream({
        pull(controller) {
          if (sent === tokens.length) throw failure;
          controller.enqueue(tokens[sent++]);
        },
      });
      await assert.rejects(source.pipeTo(client.publish("k", options).writable("token")), failure);
      assert.deepEqual(await stored(client), ["start", ...tokens, "cancel"]);
    });

    test("drops the events that were not sent when the caller cancels", async (t) => {
      const { client } = await startBroker(t);
      await client.createStream("k");
      const writer = client.publish("k", options);
      for (const token of tokens) writer.write("token", token).catch(() => {});
      await writer.cancel();
      assert.deepEqual(await stored(client), ["start", "cancel"]);
    });
  });
}

test("a broker that does not respond delays an error by flushTimeoutMs at most", async (t) => {
  const paths: (string | undefined)[] = [];
  const url = await startServer(t, (request, response) => {
    paths.push(request.url?.split("?")[0]);
    // The upload gets no response.
    if (request.url === "/api/stream/cancel")
      response.writeHead(200, { "Content-Type": "application/json" }).end('{"status":"cancelled"}');
  });
  const client = new Client({ url, apiKey: "k" });
  await assert.rejects(client.publish("k", failing, { flushTimeoutMs: 50 }), failure);
  await until(() => paths.length === 2, "both requests");
  assert.deepEqual(paths, ["/api/event/add/json-stream", "/api/stream/cancel"]);
});
