import "./dom.js";
import assert from "node:assert/strict";
import type http from "node:http";
import { afterEach, describe, test } from "node:test";
import { act, cleanup, renderHook, waitFor } from "@testing-library/react";
import { StrictMode } from "react";
import { renderToString } from "react-dom/server";
import { type UseStreamOptions, useStream } from "tinistreamer/react";
import type { SubscribeError } from "tinistreamer/subscribe";
import { startBroker, startServer, streamUrls, until } from "./support.js";

afterEach(cleanup);

/** Renders the hook. `renders` counts how often; `statuses` are the statuses that it showed. */
function render(options: UseStreamOptions, wrapper?: typeof StrictMode) {
  const counter = { renders: 0, statuses: [] as string[] };
  const hook = renderHook(
    (options: UseStreamOptions) => {
      const stream = useStream(options);
      counter.renders += 1;
      counter.statuses.push(stream.status);
      return stream;
    },
    { initialProps: options, ...(wrapper ? { wrapper } : {}) },
  );
  return { ...hook, counter };
}

const frame = (number: number, event = "token", data = String(number)) =>
  `id: 1-${number}\nevent: ${event}\ndata: ${data}\n\n`;

/** A server whose streams the test writes. `open` are the responses that are read now. */
async function startStreams(t: Parameters<typeof startServer>[0]) {
  const open = new Set<http.ServerResponse>();
  const requests: http.IncomingMessage[] = [];
  const url = await startServer(t, (request, response) => {
    requests.push(request);
    open.add(response.writeHead(200, { "Content-Type": "text/event-stream" }));
    response.flushHeaders();
    request.on("close", () => open.delete(response));
  });
  const send = async (text: string) => {
    await until(() => open.size > 0, "a connection");
    for (const response of open) response.write(text);
  };
  return { url: `${url}/sse`, open, requests, send };
}

function Status({ url }: { url: string }) {
  return <p>{useStream({ url, token: "t" }).status}</p>;
}

describe("useStream", () => {
  test("shows a growing answer, and its final status", async (t) => {
    const { client, url } = await startBroker(t);
    const { token } = await client.createStream("k");
    const { result } = render({ url: streamUrls(url, "k").sse, token });
    assert.equal(result.current.status, "connecting");
    await client.addEvents("k", [
      { event: "token", data: "Hello" },
      { event: "usage", data: { tokens: 2 } },
    ]);
    await waitFor(() => assert.equal(result.current.text, "Hello"));
    assert.equal(result.current.status, "streaming");
    await client.addEvents("k", [{ event: "token", data: " world" }]);
    await client.endStream("k");
    await waitFor(() => assert.equal(result.current.status, "ended"));
    assert.equal(result.current.text, "Hello world");
    assert.deepEqual(
      result.current.events.map(({ event }) => event),
      ["start", "token", "usage", "token", "end"],
    );
    assert.equal(result.current.error, null);
  });

  test("does nothing until it has a URL and a token", async (t) => {
    const { url, requests, send } = await startStreams(t);
    const { result, rerender } = render({ url, token: null });
    assert.equal(result.current.status, "idle");
    rerender({ url: null, token: "t" });
    assert.equal(result.current.status, "idle");
    assert.equal(requests.length, 0);
    rerender({ url, token: "t" });
    await send(frame(0));
    await waitFor(() => assert.equal(result.current.text, "0"));
  });

  test("connects once in strict mode, and shows every event once", async (t) => {
    const { url, requests, send } = await startStreams(t);
    let tokens = 0;
    const token = () => {
      tokens += 1;
      return "t";
    };
    const { result } = render({ url, token }, StrictMode);
    await send(frame(0) + frame(1) + frame(2, "end"));
    await waitFor(() => assert.equal(result.current.status, "ended"));
    assert.equal(result.current.text, "01");
    assert.deepEqual([requests.length, tokens], [1, 1]);
  });

  test("closes the connection when the component is unmounted", async (t) => {
    const { url, open, send } = await startStreams(t);
    const { result, unmount } = render({ url, token: "t" });
    await send(frame(0));
    await waitFor(() => assert.equal(result.current.text, "0"));
    unmount();
    await until(() => open.size === 0, "the connection is closed");
  });

  test("renders once for events that come together", async (t) => {
    const { url, send } = await startStreams(t);
    const { result, counter } = render({ url, token: "t" });
    const before = counter.renders;
    await send(Array.from({ length: 500 }, (_, number) => frame(number, "token", "x")).join(""));
    await waitFor(() => assert.equal(result.current.text.length, 500));
    // The network may split the chunk.
    assert.ok(counter.renders - before <= 5, `${counter.renders - before} renders`);
  });

  test("goes on when options change between renders, and uses the latest ones", async (t) => {
    const { url, requests, send } = await startStreams(t);
    const { result, rerender } = render({ url, token: () => "t", textOf: () => "" });
    await send(frame(0));
    await waitFor(() => assert.equal(result.current.events.length, 1));
    rerender({ url: new URL(url), token: () => "t", textOf: ({ data }) => `<${data}>` });
    await send(frame(1));
    await waitFor(() => assert.equal(result.current.text, "<1>"));
    assert.equal(requests.length, 1);
  });

  test("starts again without events when the URL changes", async (t) => {
    const [one, two] = [await startStreams(t), await startStreams(t)];
    const { result, rerender } = render({ url: one.url, token: "t" });
    await one.send(frame(0, "token", "one"));
    await waitFor(() => assert.equal(result.current.text, "one"));
    rerender({ url: two.url, token: "t" });
    assert.deepEqual([result.current.text, result.current.status], ["", "connecting"]);
    await two.send(frame(0, "token", "two"));
    await waitFor(() => assert.equal(result.current.text, "two"));
    await until(() => one.open.size === 0, "the first connection is closed");
  });

  test("stops, and resumes after the last event", async (t) => {
    const { url, open, requests, send } = await startStreams(t);
    const { result } = render({ url, token: "t" });
    await send(frame(0));
    await waitFor(() => assert.equal(result.current.text, "0"));
    act(() => result.current.disconnect());
    assert.equal(result.current.status, "stopped");
    assert.equal(result.current.stop, result.current.disconnect);
    await until(() => open.size === 0, "the connection is closed");
    act(() => result.current.resume());
    await send(frame(1, "end", ""));
    await waitFor(() => assert.equal(result.current.status, "ended"));
    assert.equal(requests[1]?.headers["last-event-id"], "1-0");
    assert.equal(result.current.text, "0");
    assert.equal(result.current.events.length, 2);
  });

  test("shows an error, and keeps the events before it", async (t) => {
    const { url, send } = await startStreams(t);
    const { result } = render({ url, token: "t" });
    await send(frame(0) + frame(2));
    await waitFor(() => assert.equal(result.current.status, "failed"));
    assert.deepEqual(
      [result.current.text, (result.current.error as { code: string }).code],
      ["0", "gap"],
    );
  });

  test("fails when events are no longer stored, and shows how many", async (t) => {
    const { client, url } = await startBroker(t);
    const { token } = await client.createStream("k", { max_events: null });
    const tokens = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, n) => ({ event: "token", data: `${from + n} ` }));
    await client.addEvents("k", tokens(0, 611));
    await client.addEvents("k", tokens(611, 1500));
    const lost = 1501 - (await client.streamEvents("k")).length;
    // The page was reloaded, and has no events.
    const { result } = render({ url: streamUrls(url, "k").sse, token });
    await waitFor(() => assert.equal(result.current.status, "failed"));
    assert.deepEqual(result.current.missed, { count: lost, known: true });
    assert.equal((result.current.error as { code: string }).code, "missed");
    assert.equal(result.current.text, "");
    const allowed = render({ url: streamUrls(url, "k").sse, token, allowMissed: true });
    await waitFor(() => assert.ok(allowed.result.current.text.endsWith(" 1499 ")));
    assert.deepEqual(
      [allowed.result.current.status, allowed.result.current.error, allowed.result.current.missed],
      ["streaming", null, { count: lost, known: true }],
    );
  });

  test("fails with the stream, shows why, and does not resume it", async (t) => {
    const { client, url } = await startBroker(t);
    for (const transport of ["sse", "ndjson"] as const) {
      const { token } = await client.createStream("k");
      const { result, counter } = render({ url: streamUrls(url, "k")[transport], token });
      await client.addEvents("k", [{ event: "token", data: "half an ans" }]);
      await waitFor(() => assert.equal(result.current.text, "half an ans"));
      await client.failStream("k", { code: "overloaded", message: "Too busy" });
      await waitFor(() => assert.equal(result.current.status, "failed"));
      const error = result.current.error as SubscribeError;
      assert.deepEqual(
        [error.code, error.message],
        ["stream-failed", "The stream failed: Too busy"],
      );
      assert.deepEqual(result.current.reason, { code: "overloaded", message: "Too busy" });
      assert.ok(!counter.statuses.includes("reconnecting"));
      act(() => result.current.resume());
      assert.equal(result.current.status, "failed");
    }
  });

  test("does not take an abandoned stream for complete when it was stopped", async (t) => {
    const requests: (string | undefined)[] = [];
    const url = await startServer(t, (request, response) => {
      requests.push(request.headers["last-event-id"] as string | undefined);
      if (requests.length > 1) return response.writeHead(204).end();
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.write(frame(0) + frame(1, "abandon", '{"reason":"stall"}'));
    });
    const { result } = render({ url: `${url}/sse`, token: "t" });
    await waitFor(() => assert.equal(result.current.events.length, 2));
    act(() => result.current.stop());
    act(() => result.current.resume());
    await waitFor(() => assert.equal(result.current.status, "failed"));
    assert.equal((result.current.error as SubscribeError).code, "stream-abandoned");
    assert.deepEqual(result.current.reason, { reason: "stall" });
    assert.deepEqual(requests, [undefined, "1-1"]);
  });

  test("shows that it reconnects while the broker is away, and why", async (t) => {
    const { url, open, send } = await startStreams(t);
    const { result, counter } = render({ url, token: "t" });
    await send(`retry: 300\n\n${frame(0)}`);
    await waitFor(() => assert.equal(result.current.status, "streaming"));
    for (const response of open) response.destroy();
    await waitFor(() => assert.ok(counter.statuses.includes("reconnecting")));
    await waitFor(() => assert.equal(result.current.status, "streaming"));
    assert.equal(result.current.error, null);
    await send(frame(1, "end", ""));
    await waitFor(() => assert.equal(result.current.status, "ended"));
  });

  test("shows that it reconnects while the broker has reached its limit", async (t) => {
    const body = JSON.stringify({ code: "too-many-clients", message: "The limit is reached" });
    const url = await startServer(t, (_, response) => {
      response
        .writeHead(429, { "Content-Type": "application/json", "Retry-After": "60" })
        .end(body);
    });
    const { result } = render({ url: `${url}/sse`, token: "t" });
    await waitFor(() => assert.equal(result.current.status, "reconnecting"));
    assert.equal((result.current.error as { code: string }).code, "too-many-clients");
    act(() => result.current.stop());
    assert.deepEqual([result.current.status, result.current.error], ["stopped", null]);
  });

  test("takes an access, asks for another one, and starts again with another stream", async (t) => {
    const { client, url } = await startBroker(t);
    let asked = 0;
    const accessTo = (key: string) => async () => {
      asked += 1;
      const { token } = await client.issueToken(key);
      return { sse_url: streamUrls(url, key).sse, token };
    };
    for (const key of ["a", "b"]) {
      await client.createStream(key);
      await client.addEvents(key, [{ event: "token", data: key }]);
    }
    const { result, rerender } = render({ access: null });
    assert.equal(result.current.status, "idle");
    rerender({ id: "a", access: accessTo("a") });
    await waitFor(() => assert.equal(result.current.text, "a"));
    rerender({ id: "a", access: accessTo("a") });
    assert.equal(asked, 1);
    rerender({ id: "b", access: accessTo("b") });
    await waitFor(() => assert.equal(result.current.text, "b"));
    // An object names its stream, and the token at hand comes first.
    rerender({ access: await accessTo("a")() });
    await waitFor(() => assert.equal(result.current.text, "a"));
    assert.equal(asked, 3);
    rerender({ access: { sse_url: streamUrls(url, "a").sse, token: "another" } });
    assert.equal(result.current.text, "a");
  });

  test("asks the producer to stop, and shows who did", async (t) => {
    const { client, url } = await startBroker(t);
    const { token } = await client.createStream("k", {
      permissions: ["read", "signal"],
      subject: "u",
    });
    const published = client.publish("k", (writer) =>
      writer.pipeFrom(
        (async function* () {
          yield "Hel";
          await new Promise(() => {});
        })(),
        "token",
      ),
    );
    const { result, rerender } = render({ access: null });
    assert.equal(await result.current.requestStop(), null);
    rerender({ access: { sse_url: streamUrls(url, "k").sse, token } });
    await waitFor(() => assert.equal(result.current.text, "Hel"));
    assert.equal(await result.current.sendSignal("steer", { to: "left" }), 1);
    assert.equal(await result.current.requestStop(), 2);
    await waitFor(() => assert.equal(result.current.status, "cancelled"));
    assert.deepEqual(result.current.reason, { reason: "stop", by: "u" });
    await published;
    // Of a finished stream this is a success, too.
    assert.equal(await result.current.requestStop(), null);
  });

  test("knows the types of events", async (t) => {
    const { url, send } = await startStreams(t);
    type Events = { token: string; usage: { tokens: number } };
    const { result } = renderHook(() => useStream<Events>({ url, token: "t" }));
    await send(frame(0, "usage", '{"tokens": 3}'));
    await waitFor(() => assert.equal(result.current.events.length, 1));
    const [event] = result.current.events;
    assert.ok(event?.event === "usage");
    const tokens: number = event.json().tokens;
    assert.equal(tokens, 3);
  });

  test("shows an error for a URL that is not the broker's", async () => {
    const { result } = render({ url: "http://127.0.0.1/page", token: "t" });
    await waitFor(() => assert.equal(result.current.status, "failed"));
    assert.ok(result.current.error instanceof TypeError);
  });

  test("renders on a server without connecting", async (t) => {
    const { url, requests } = await startStreams(t);
    assert.equal(renderToString(<Status url={url} />), "<p>connecting</p>");
    assert.equal(requests.length, 0);
  });
});
