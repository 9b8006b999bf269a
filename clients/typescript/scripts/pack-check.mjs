// Checks the package as a user gets it: packs it, installs it into a new project, checks the types
// with both ways of module resolution, runs a program, and bundles it for a browser.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/**
 * The most bytes of `subscribe` of `tinistreamer/subscribe`, minified. Counting and reporting
 * missing events takes 4 % of them, and the streams that broke off another 4 %. Signals, accesses,
 * rollup, reasons, and reports of the connection take 17 %.
 */
const MAX_BUNDLE = 18_469;

const source = fileURLToPath(new URL("..", import.meta.url));
const { devDependencies } = JSON.parse(readFileSync(path.join(source, "package.json"), "utf8"));
const project = mkdtempSync(path.join(tmpdir(), "tinistreamer-pack-"));
const run = (command, ...args) =>
  execFileSync(command, args, {
    cwd: project,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });

const program = `
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { ApiError, Client, PublishError, StoppedError, UnreachableError } from "tinistreamer";
import type { Access, Ack, Writer } from "tinistreamer";
import { createResumableStreamContext } from "tinistreamer/resumable-stream";
import { subscribeShared } from "tinistreamer/shared-tabs";
import { subscribe, type StreamEvent } from "tinistreamer/subscribe";
import { useStream } from "tinistreamer/react";

const server = createServer((request, response) => {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  response.end("id: 1-0\\nevent: start\\ndata:\\n\\nid: 1-1\\nevent: end\\ndata:\\n\\n");
}).listen(0, "127.0.0.1", async () => {
  const url = \`http://127.0.0.1:\${(server.address() as AddressInfo).port}/api/client/sse?key=k\`;
  const events: StreamEvent[] = [];
  for await (const event of subscribe({ url, token: "t" })) events.push(event);
  const shared = await subscribeShared({ url, token: "t", shareTabs: "u" }).collect();
  if (JSON.stringify(shared) !== JSON.stringify(events)) throw new Error("Not the same events");
  server.close();
  const client = new Client({ url: "http://127.0.0.1:1", apiKey: "k" });
  const unreachable = (error: unknown) => {
    if (error instanceof UnreachableError) return error;
    throw error;
  };
  const access: Access | UnreachableError = await client.createStream("k").catch(unreachable);
  const context = createResumableStreamContext({ client, waitUntil: null });
  const writer: Writer = client.publish("k");
  const onAck = ({ count }: Ack) => count;
  const functions = [
    ApiError,
    PublishError,
    StoppedError,
    useStream,
    context.resumableStream,
    writer.write,
    onAck,
  ];
  const kinds = new Set(functions.map((item) => typeof item));
  const names = events.map(({ event }) => event);
  console.log(JSON.stringify([names, access instanceof Error && access.name, kinds.size]));
});
`;

function checkTypes(module, moduleResolution) {
  const compilerOptions = {
    module,
    moduleResolution,
    target: "ES2022",
    lib: ["ES2022", "DOM", "DOM.Iterable"],
    types: ["node"],
    strict: true,
    outDir: `out-${moduleResolution}`,
  };
  writeFileSync(
    path.join(project, "tsconfig.json"),
    JSON.stringify({ compilerOptions, files: ["program.ts"] }),
  );
  run("npx", "tsc");
  const output = JSON.parse(run(process.execPath, path.join(compilerOptions.outDir, "program.js")));
  assert.deepEqual(output, [["start", "end"], "UnreachableError", 1]);
}

try {
  const [{ filename, files }] = JSON.parse(
    execFileSync("npm", ["pack", "--json", "--pack-destination", project], {
      cwd: source,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    }),
  );
  const others = files
    .map((file) => file.path)
    .filter((file) => !/^dist\/.*\.(js|d\.ts)$/.test(file));
  assert.deepEqual(others.sort(), [
    "LICENSE",
    "README.md",
    "bin/program.d.ts",
    "bin/program.js",
    "bin/tinistreamer.js",
    "package.json",
  ]);

  writeFileSync(
    path.join(project, "package.json"),
    JSON.stringify({ private: true, type: "module" }),
  );
  const tools = ["react", "@types/react", "@types/node", "typescript"].map(
    (name) => `${name}@${devDependencies[name]}`,
  );
  run(
    "npm",
    "install",
    "--silent",
    "--no-audit",
    "--no-fund",
    "--prefer-offline",
    `./${filename}`,
    ...tools,
  );
  writeFileSync(path.join(project, "program.ts"), program);
  checkTypes("nodenext", "nodenext");
  checkTypes("esnext", "bundler");

  const { outputFiles, metafile } = await build({
    stdin: { contents: 'export { subscribe } from "tinistreamer/subscribe";', resolveDir: project },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    metafile: true,
    write: false,
  });
  const [{ contents }] = outputFiles;
  const foreign = Object.keys(metafile.inputs).filter((file) =>
    /openapi|client\.js|publish|react|resumable|entries|tanstack|assistant/.test(
      file.replace(/.*node_modules/, ""),
    ),
  );
  assert.deepEqual(foreign, []);
  assert.ok(contents.length <= MAX_BUNDLE, `tinistreamer/subscribe is ${contents.length} bytes`);
  console.log(
    `packed, installed, checked, run; tinistreamer/subscribe is ${contents.length} bytes minified`,
  );
} finally {
  rmSync(project, { recursive: true, force: true });
}
