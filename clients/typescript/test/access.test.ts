import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { subscribe, subscribeMany } from "tinistreamer/subscribe";
import { WebSocket } from "ws";
import { frame, refusing, retry, sse, startScript, stream } from "./scripted.js";
import { collect, startBroker, streamUrls } from "./support.js";

const expired = refusing(401, "token-expired");

describe("an access stands for the URL and the token", () => {
  test("as `createStream` returns it", async (t) => {
    const { client, url } = await startBroker(t);
    const access = await client.createStream("k");
    await client.endStream("k");
    const here = { ...access, sse_url: streamUrls(url, "k").sse };
    assert.equal((await collect(subscribe({ access: here }))).length, 2);
    assert.equal((await collect(subscribeMany({ access: here }))).length, 2);
    const events = subscribe({ access: here, url: streamUrls(url, "k").ws, WebSocket });
    assert.equal((await collect(events)).length, 2);
  });

  test("from a function, which is asked again when the token is refused", async (t) => {
    const { url, requests } = await startScript(
      t,
      stream(sse, retry, frame("1-0", "start")),
      expired,
      stream(sse, retry, frame("1-1")),
      stream(sse, frame("1-2", "end")),
    );
    const tokens: unknown[] = [];
    const events = subscribe({
      access: () => {
        // The URL of a later access does not count.
        const sse_url = tokens.length === 0 ? `${url}/sse?key=k` : "http://broker.test/sse?key=x";
        const token = `t${tokens.length}`;
        tokens.push(token);
        return Promise.resolve({ sse_url, token });
      },
      fetch: (input, init) => {
        tokens.push(new Headers(init?.headers).get("authorization"));
        return fetch(input, init);
      },
    });
    assert.deepEqual(tokens, [], "not before the first event is requested");
    assert.equal((await collect(events)).length, 3);
    assert.deepEqual(tokens, ["t0", "Bearer t0", "Bearer t0", "t3", ...Array(2).fill("Bearer t3")]);
    assert.deepEqual(
      requests.map(({ query }) => query.get("key")),
      ["k", "k", "k", "k"],
    );
  });

  test("that is new and refused is an error", async (t) => {
    const { url, requests } = await startScript(t, expired, expired);
    const access = { sse_url: `${url}/sse?key=k`, token: "t" };
    await assert.rejects(collect(subscribe({ access: () => access })), { code: "token-expired" });
    await assert.rejects(collect(subscribe({ access })), { code: "token-expired" });
    assert.equal(requests.length, 2);
  });

  for (const isFunction of [true, false])
    test(`beside a first token, as ${isFunction ? "a function" : "an object"}`, async (t) => {
      const { url } = await startScript(t, expired, stream(sse, frame("1-0", "end")), expired);
      const seen: unknown[] = [];
      const access = { sse_url: "http://broker.test/sse?key=x", token: "second" };
      const options = {
        url: `${url}/sse?key=k`,
        token: "first",
        access: isFunction ? () => access : access,
        fetch: ((input, init) => {
          seen.push(new Headers(init?.headers).get("authorization"));
          return fetch(input, init);
        }) as typeof fetch,
      };
      assert.equal((await collect(subscribe(options))).length, 1);
      assert.deepEqual(seen, ["Bearer first", "Bearer second"]);
    });

  test("from a function names the streams of `subscribeMany`", async (t) => {
    const { url, keys } = await startScript(
      t,
      stream(sse, frame("a:1-0!,~A", "end"), frame("b:1-0!,~B", "end")),
    );
    const access = async () => ({ sse_url: `${url}/sse?key=a&key=b`, token: "t" });
    const events = subscribeMany({ access });
    assert.equal(events.statuses.size, 0);
    assert.equal((await collect(events)).length, 2);
    assert.deepEqual(keys(), ["a,b"]);
  });

  test("from a function, and keys beside it", async (t) => {
    const { url, keys } = await startScript(t, stream(sse, frame("a:1-1!,~A", "end")));
    const access = () => ({ sse_url: `${url}/sse`, token: "t" });
    const events = subscribeMany({ access, keys: ["a"], after: { a: "1-0" } });
    assert.deepEqual([...events.statuses], [["a", "active"]]);
    assert.equal((await collect(events)).length, 1);
    assert.deepEqual(keys(), ["a"]);
  });

  test("from a function is also asked for by a signal, once", async (t) => {
    const { client, url } = await startBroker(t);
    await client.createStream("k");
    const { token } = await client.issueToken("k", { permissions: ["read", "signal"] });
    let asked = 0;
    const access = async () => {
      asked += 1;
      return { sse_url: streamUrls(url, "k").sse, token };
    };
    const events = subscribe({ access });
    const [first, seq] = await Promise.all([events.next(), events.requestStop()]);
    assert.deepEqual([first.value?.event, seq, asked], ["start", 1, 1]);
    await events.return();
    const later = subscribe({ access });
    assert.equal(await later.requestStop(), 1);
    assert.equal((await later.next()).value?.event, "start");
    await later.return();
    assert.equal(asked, 2);
  });

  test("throws what the function throws", async () => {
    const access = () => Promise.reject(new Error("not logged in"));
    const events = subscribe({ access });
    await assert.rejects(events.requestStop(), { message: "not logged in" });
    await assert.rejects(collect(events), { message: "not logged in" });
  });

  test("with a URL that does not fit is an error of the iteration", async () => {
    for (const sse_url of ["http://broker.test/page", "http://broker.test/sse?key=a&key=b"]) {
      const events = subscribe({ access: () => ({ sse_url, token: "t" }) });
      await assert.rejects(collect(events), { name: "TypeError" });
    }
  });

  test("is needed unless there are a URL and a token", () => {
    const url = "http://broker.test/sse";
    assert.throws(() => subscribe({ url }), { name: "TypeError", message: /token/ });
    assert.throws(() => subscribe({ token: "t" }), { name: "TypeError", message: /URL/ });
    assert.throws(() => subscribe({}), { name: "TypeError", message: /URL/ });
  });
});
