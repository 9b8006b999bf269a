import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import net from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { startBroker } from "./support.js";

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

test("the quick start runs as it is printed", async (t) => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const block = /```js\n(.*?)```/s.exec(readme)?.[1];
  assert.ok(block);
  const port = await freePort();
  const address = `http://127.0.0.1:${port}`;
  const { apiKey } = await startBroker(t, {
    STREAMER_PORT: String(port),
    STREAMER_SERVER_ADDRESS: address,
  });
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--input-type=module", "--eval", block.replaceAll("http://127.0.0.1:8000", address)],
    {
      cwd: fileURLToPath(new URL("..", import.meta.url)),
      env: { ...process.env, STREAMER_API_KEY: apiKey },
    },
  );
  assert.equal(stdout, "Hello from a stream");
});
