import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Client, type LogEntry, type PublishOptions, type Writer } from "tinistreamer";
import { WebSocket } from "ws";
import { noActiveStream, renewed, startRoutes, unknownRoute } from "./routes.js";
import { startBroker, until } from "./support.js";

const RENEW = "/api/stream/renew";
const UPLOAD = "/api/event/add/json-stream";
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe("the lease of a writer", () => {
  for (const transport of ["ndjson", "websocket"] as const) {
    test(`keeps a stream in silence, over ${transport}`, async (t) => {
      const { client } = await startBroker(t);
      await client.createStream("k");
      await client.publish(
        "k",
        async (writer) => {
          await writer.write("token", "a");
          await writer.flush();
          // Longer than two leases.
          await sleep(5_000);
          assert.equal((await client.streamInfo("k")).status, "active");
        },
        { lease: 2, transport, WebSocket },
      );
      assert.equal((await client.streamInfo("k")).status, "ended");
    });
  }

  test("runs out when the process of the writer dies", async (t) => {
    const { client, url, apiKey } = await startBroker(t);
    await client.createStream("k");
    const program = `
      import { Client } from "tinistreamer";
      const writer = new Client({ url: ${JSON.stringify(url)}, apiKey: ${JSON.stringify(apiKey)} })
        .publish("k", { lease: 2 });
      await writer.write("token", "half an ans");
      await writer.flush();
      console.log("written");
      setInterval(() => {}, 1000);
    `;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
      cwd: fileURLToPath(new URL("..", import.meta.url)),
      stdio: ["ignore", "pipe", "inherit"],
    });
    t.after(() => child.kill("SIGKILL"));
    await once(child.stdout, "data");
    assert.notEqual((await client.streamInfo("k")).lease_expires_at, null);
    child.kill("SIGKILL");
    await until(
      async () => (await client.streamInfo("k")).status === "abandoned",
      "the stream is abandoned",
    );
    assert.deepEqual((await client.streamInfo("k")).reason, { reason: "lease" });
  });

  test("does not keep a process alive", async (t) => {
    const { url } = await startRoutes(t, { [RENEW]: () => renewed() });
    const program = `
      import { Client } from "tinistreamer";
      const writer = new Client({ url: ${JSON.stringify(url)}, apiKey: "k" }).publish("k");
      await writer.write("token", "a");
      await writer.flush();
    `;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
      cwd: fileURLToPath(new URL("..", import.meta.url)),
      stdio: "inherit",
    });
    t.after(() => child.kill("SIGKILL"));
    const [code] = await once(child, "exit");
    assert.equal(code, 0);
  });

  test("begins with the first use of the writer, and each renewal has its length", async (t) => {
    const { client, to, reached, requests } = await startRoutes(t, { [RENEW]: () => renewed() });
    const writer = client.publish("k", { lease: 2, generation: "g" });
    await writer.flush();
    assert.deepEqual(requests, []);
    await writer.write("token", "a");
    await reached(RENEW, 2);
    for (const { body } of to(RENEW))
      assert.deepEqual(body, { key: "k", generation: "g", lease: 2 });
    await writer.finish();
    const count = to(RENEW).length;
    await sleep(1_500);
    assert.equal(to(RENEW).length, count, "a finished writer does not renew");
  });

  const uses: [string, (writer: Writer) => unknown][] = [
    ["signal", (writer) => writer.signal],
    ["signals", (writer) => writer.signals()],
    ["writable", (writer) => writer.writable("token")],
    ["pipeFrom", (writer) => writer.pipeFrom([], "token")],
    ["run", (writer) => writer.run(() => {})],
  ];
  for (const [name, use] of uses) {
    test(`begins with ${name}`, async (t) => {
      const { client, reached } = await startRoutes(t, { [RENEW]: () => renewed() });
      const writer = client.publish("k");
      await use(writer);
      await reached(RENEW);
      await writer.close().catch(() => {});
    });
  }

  test("ends with close, after a renewal that is on its way", async (t) => {
    let answer = () => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const { client, to, reached } = await startRoutes(t, {
      [RENEW]: async ({ body }) => {
        if ((body as { lease: number }).lease !== 0) await answered;
        return renewed();
      },
    });
    const writer = client.publish("k");
    await writer.write("token", "a");
    await reached(RENEW);
    const closing = writer.close();
    await until(() => writer.acknowledged === 1, "the event is stored");
    await sleep(200);
    assert.equal(to(RENEW).length, 1, "nothing overtakes the renewal");
    answer();
    await closing;
    assert.deepEqual(
      to(RENEW).map(({ body }) => body),
      [
        { key: "k", lease: 30 },
        { key: "k", lease: 0 },
      ],
    );
  });

  test("that can't be ended is no error of close", async (t) => {
    const log: LogEntry[] = [];
    const { client } = await startRoutes(
      t,
      { [RENEW]: ({ body }) => ((body as { lease: number }).lease ? renewed() : [500, {}]) },
      { onLog: (entry) => log.push(entry) },
    );
    const writer = client.publish("k");
    await writer.write("token", "a");
    await writer.close();
    assert.deepEqual(
      log.filter(({ level }) => level === "warn").map(({ message }) => message),
      ["The lease of a stream could not be ended"],
    );
  });

  test("that ended lets the next writer take its time", async (t) => {
    const { client } = await startBroker(t);
    await client.createStream("k");
    const writer = client.publish("k", { lease: 2 });
    await writer.write("token", "a");
    await until(
      async () => (await client.streamInfo("k")).lease_expires_at,
      "the stream has a lease",
    );
    await writer.close();
    const info = await client.streamInfo("k");
    assert.deepEqual([info.status, info.lease_expires_at ?? null], ["active", null]);
  });

  test("of 0 is none", async (t) => {
    const { client, requests } = await startRoutes(t, {});
    const writer = client.publish("k", { lease: 0 });
    await writer.write("token", "a");
    await writer.close();
    assert.deepEqual(
      requests.map(({ path }) => path),
      [UPLOAD],
    );
  });

  for (const lease of [1, 2.5, 86_401, -2, Number.NaN, "30" as unknown as number])
    test(`of ${lease} is refused at once`, () => {
      const client = new Client({ url: "http://127.0.0.1:1", apiKey: "k" });
      assert.throws(() => client.publish("k", { lease }), { name: "RangeError", message: /lease/ });
    });

  test("survives renewals that fail, one of them without a response", async (t) => {
    let count = 0;
    const failures: ([number, unknown] | undefined)[] = [
      [503, { code: "store-unavailable", message: "Away" }],
      undefined,
      noActiveStream(),
    ];
    const log: LogEntry[] = [];
    const onLog = (entry: LogEntry) => log.push(entry);
    const answer = () => (count < failures.length ? failures[count++] : renewed());
    const { client, reached } = await startRoutes(t, { [RENEW]: answer }, { onLog });
    const writer = client.publish("k", { lease: 2 });
    await writer.write("token", "a");
    await reached(RENEW, 5);
    await writer.finish();
    const warnings = log.filter(({ level }) => level === "warn");
    assert.equal(warnings.length, 2);
    assert.match(warnings[0]?.message ?? "", /not renewed/);
  });

  const finals: [string, [number, unknown]][] = [
    ["a broker without leases", [404, { code: "not-found", message: "Nothing here" }]],
    ["a broker of which only GET is known", [405, { code: "method-not-allowed", message: "No" }]],
    ["another stream at the key", [409, { code: "stale-generation", message: "No" }]],
    ["a wrong API key", [401, { code: "unauthorized", message: "No" }]],
    ["a stream that has ended", noActiveStream("ended")],
  ];
  for (const [what, answer] of finals) {
    test(`is not renewed after the answer for ${what}`, async (t) => {
      const { client, to, reached } = await startRoutes(t, { [RENEW]: () => answer });
      const writer = client.publish("k", { lease: 2 });
      await writer.write("token", "a");
      await reached(RENEW);
      await sleep(1_500);
      await writer.write("token", "b");
      await writer.close();
      assert.equal(to(RENEW).length, 1);
    });
  }

  test("stops when the writer fails", async (t) => {
    const { client, to } = await startRoutes(t, {
      [RENEW]: () => renewed(),
      [UPLOAD]: () => [400, { code: "invalid-event", message: "No" }],
    });
    const writer = client.publish("k", { lease: 2 });
    await writer.write("token", "a");
    await assert.rejects(writer.flush(), { code: "invalid-event" });
    const count = to(RENEW).length;
    await sleep(1_500);
    assert.equal(to(RENEW).length, count);
  });
});

describe("an older broker, which knows neither leases nor signals", () => {
  const old = { [RENEW]: unknownRoute, "/api/stream/signals": unknownRoute };
  const write = async (options: PublishOptions, client: Client) =>
    client.publish(
      "k",
      async (writer) => {
        const heard = (async () => {
          for await (const signal of writer.signals()) assert.fail(signal.name);
        })();
        await assert.rejects(heard, { name: "ApiError", code: "not-found" });
        assert.equal(writer.signal.aborted, false);
        await writer.write("token", "a");
        return "done";
      },
      options,
    );

  test("is no error, and a log entry says so", async (t) => {
    const log: LogEntry[] = [];
    const onLog = (entry: LogEntry) => log.push(entry);
    const { client, to } = await startRoutes(t, old, { onLog });
    assert.equal(await write({}, client), "done");
    assert.equal(to("/api/stream/signals").length, 1);
    assert.equal(to("/api/stream/end").length, 1);
    assert.deepEqual(log.map(({ level, message }) => `${level}: ${message}`).sort(), [
      "debug: The broker has no leases",
      "warn: A writer no longer hears signals",
    ]);
  });
});
