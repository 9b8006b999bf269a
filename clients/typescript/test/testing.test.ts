// The helpers for the tests of applications, with a real broker.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { subscribe } from "tinistreamer/subscribe";
import { startBroker } from "tinistreamer/testing";

const program =
  process.env.TINISTREAMER_BIN ??
  fileURLToPath(new URL("../../../target/debug/tinistreamer", import.meta.url));

test("a broker starts, and streams a word over its line", async () => {
  await using broker = await startBroker({ program });
  const { sse_url, token } = await broker.client.createStream("hello");
  assert.equal(new URL(sse_url).host, `127.0.0.1:${broker.line.port}`);
  await broker.client.publish("hello", (writer) => writer.write("token", "word"));
  const data: unknown[] = [];
  for await (const event of subscribe({ url: sse_url, token }))
    if (event.event === "token") data.push(event.data);
  assert.deepEqual(data, ["word"]);
});

test("a subscription goes on after the line was cut, and waits while it is unplugged", async () => {
  await using broker = await startBroker({ program });
  const { sse_url, token } = await broker.client.createStream("chat");
  const writer = broker.client.publish("chat");
  const data: unknown[] = [];
  for await (const event of subscribe({ url: sse_url, token })) {
    if (event.event === "start") await writer.write("token", "0");
    if (event.event !== "token") continue;
    data.push(event.data);
    if (data.length === 1) broker.line.cut();
    if (data.length === 2) {
      broker.line.unplug();
      await assert.rejects(fetch(`${broker.url}/api/health`));
      setTimeout(() => broker.line.plug(), 200);
    }
    if (data.length < 4) await writer.write("token", String(data.length));
    else await writer.finish();
  }
  assert.deepEqual(data, ["0", "1", "2", "3"]);
});

test("a lease runs out, and the subscriber receives how the stream ended", async () => {
  await using broker = await startBroker({ program });
  const { sse_url, token } = await broker.client.createStream("chat", { lease: 60 });
  await broker.letLeaseRunOut("chat");
  const events: string[] = [];
  for await (const event of subscribe({ url: sse_url, token })) events.push(event.event);
  assert.deepEqual(events, ["start", "abandon"]);
  await assert.rejects(broker.letLeaseRunOut("chat"), { status: 404 });
  assert.equal((await fetch(`${broker.url}/api/health`)).status, 200, "the line is plugged again");
});

test("settings apply, and what keeps a broker from starting is in the error", async () => {
  const key = "a-key-for-this-test";
  await using broker = await startBroker({ program, settings: { STREAMER_API_KEY: key } });
  assert.equal(broker.apiKey, key);
  await broker.client.createStream("chat");
  await assert.rejects(
    startBroker({ program, settings: { STREAMER_TTL: "never" } }),
    /STREAMER_TTL holds "never"/,
  );
  await assert.rejects(startBroker({ program: "/no/such/program" }), /ENOENT/);
});

test("a broker that was stopped is gone, and can be stopped again", async () => {
  const broker = await startBroker({ program });
  await broker.stop();
  await broker.stop();
  await assert.rejects(fetch(`${broker.url}/api/health`));
});

test("without a program, the error says what to install", async () => {
  const known = process.env.TINISTREAMER_BIN;
  delete process.env.TINISTREAMER_BIN;
  await assert.rejects(startBroker(), /@tinistreamer\/broker-\S+ is not installed/);
  if (known !== undefined) process.env.TINISTREAMER_BIN = known;
});

test("an .env file of the application does not count", async () => {
  const before = process.cwd();
  const folder = mkdtempSync(path.join(tmpdir(), "tinistreamer-testing-"));
  writeFileSync(path.join(folder, ".env"), "STREAMER_API_KEY=another-key\nSTREAMER_TTL=never\n");
  process.chdir(folder);
  try {
    await using broker = await startBroker({ program });
    assert.notEqual(broker.apiKey, "another-key");
  } finally {
    process.chdir(before);
    rmSync(folder, { recursive: true });
  }
});
