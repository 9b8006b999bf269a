import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, type TestContext, test } from "node:test";
import { type KeyedEvent, type SubscribeManyOptions, subscribeMany } from "tinistreamer/subscribe";
import { WebSocket, WebSocketServer } from "ws";
import { summary } from "./scripted.js";
import { BrowserWebSocket, collect } from "./support.js";

/**
 * A WebSocket server that calls `opened` for a connection and `received` for a message. It records
 * both.
 */
async function startSockets(
  t: TestContext,
  opened: (socket: WebSocket, query: URLSearchParams) => void,
  received: (socket: WebSocket, request: Record<string, unknown>) => void,
) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  t.after(async () => {
    for (const client of server.clients) client.terminate();
    await new Promise((resolve) => server.close(resolve));
  });
  await once(server, "listening");
  const handshakes: [string, string | null][] = [];
  const requests: Record<string, unknown>[] = [];
  server.on("connection", (socket, request) => {
    const query = new URL(request.url ?? "", "ws://localhost").searchParams;
    handshakes.push([query.getAll("key").join(), query.get("last_event_id")]);
    socket.on("message", (message) => {
      const parsed = JSON.parse(String(message));
      requests.push(parsed);
      received(socket, parsed);
    });
    opened(socket, query);
  });
  const { port } = server.address() as { port: number };
  return { url: `ws://127.0.0.1:${port}/ws`, handshakes, requests };
}

const send = (socket: WebSocket, message: unknown) => socket.send(JSON.stringify(message));

for (const [kind, Socket] of Object.entries({ ws: WebSocket, "a browser": BrowserWebSocket })) {
  describe(`over the WebSocket of ${kind}`, () => {
    const follow = (url: string, keys: string[], more: Partial<SubscribeManyOptions> = {}) =>
      subscribeMany({ url, keys, token: "t", WebSocket: Socket, ...more });

    test("a message adds or drops a stream, and the broker replies to each", async (t) => {
      const { url, handshakes, requests } = await startSockets(
        t,
        (socket) => {
          send(socket, [{ id: "1-0", event: "start" }]);
        },
        (socket, { op, key, after = null }) => {
          if (key === "no") send(socket, { op: "error", key, code: "forbidden", message: "No" });
          else if (op === "subscribe") {
            send(socket, { op: "subscribed", key, after });
            send(socket, { key, id: "1-5", event: "x" });
          } else {
            send(socket, { op: "unsubscribed", key, after: "1-5" });
            send(socket, { key: "a", id: "1-1", event: "end" });
          }
        },
      );
      const events = follow(url, ["a"]);
      const all: KeyedEvent[] = [];
      for await (const event of events) {
        all.push(event);
        if (event.event === "start") {
          await assert.rejects(events.add("no"), {
            name: "RefusedError",
            code: "forbidden",
            key: "no",
          });
          await events.add("b", { after: "1-4", wait: true });
          await assert.rejects(events.add("b"), { code: "already-subscribed" });
        }
        if (event.event === "x") await events.drop("b");
      }
      assert.deepEqual(summary(all), [
        ["a", "1-0", "start"],
        ["b", "1-5", "x"],
        ["a", "1-1", "end"],
      ]);
      assert.deepEqual(requests, [
        { op: "subscribe", key: "no" },
        { op: "subscribe", key: "b", after: "1-4", wait: true },
        { op: "unsubscribe", key: "b" },
      ]);
      assert.deepEqual(handshakes, [["a", null]]);
      await assert.rejects(events.add("c"), { code: "subscription-over" });
    });

    test("after a break the streams continue, and changes are sent again", async (t) => {
      let connections = 0;
      const { url, handshakes, requests } = await startSockets(
        t,
        (socket) => {
          connections += 1;
          if (connections === 1) send(socket, [{ id: "1-0", event: "start" }]);
          else send(socket, []);
        },
        (socket, { key }) => {
          if (key === "b") send(socket, { op: "subscribed", key, after: "1-2" });
          else if (connections === 1) socket.close(1012);
          else {
            send(socket, { op: "subscribed", key, after: null });
            for (const key of ["a", "b", "c"]) {
              const id = { a: "1-1", b: "1-3", c: "1-0" }[key];
              send(socket, { key, id, event: "end" });
            }
          }
        },
      );
      const events = follow(url, ["a"]);
      await events.next();
      await events.add("b", { from: "now" });
      await events.add("c");
      assert.deepEqual((await collect(events)).map(({ key }) => key).sort(), ["a", "b", "c"]);
      assert.deepEqual(handshakes, [
        ["a", null],
        ["a,b", "a:1-0,b:1-2"],
      ]);
      assert.deepEqual(
        requests.map(({ key }) => key),
        ["b", "c", "c"],
      );
    });

    test("a disconnect by an operator ends the iteration", async (t) => {
      const { url, handshakes } = await startSockets(
        t,
        (socket) => {
          send(socket, []);
          socket.close(1008);
        },
        () => {},
      );
      await assert.rejects(collect(follow(url, ["a", "b"])), { code: "disconnected-by-operator" });
      assert.equal(handshakes.length, 1);
    });
  });
}
