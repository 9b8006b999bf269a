#!/usr/bin/env node
// Runs the broker: `npx tinistreamer dev`. The program is in a package of its own for each
// platform. npm installs the one that fits, as an optional dependency.

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import process from "node:process";

const platform = `${process.platform}-${process.arch}`;
const suffix = process.platform === "win32" ? ".exe" : "";

/** The path of the broker's program. */
function program() {
  const name = `@tinistreamer/broker-${platform}`;
  try {
    return createRequire(import.meta.url).resolve(`${name}/bin/tinistreamer${suffix}`);
  } catch {
    console.error(
      `tinistreamer: the package ${name} is not installed. There is none for every platform, and ` +
        "npm leaves it out with --omit=optional. The README names other ways to get the broker.",
    );
    return process.exit(1);
  }
}

const file = program();
const args = process.argv.slice(2);
// Where Node can, the broker takes the place of this process: signals and its exit are its own.
if (process.platform !== "win32" && typeof process.execve === "function") {
  process.execve(file, [file, ...args], process.env);
}
// A process group of its own: from the terminal it would get each signal twice, and the second
// stops the broker at once.
const child = spawn(file, args, { stdio: "inherit", detached: process.platform !== "win32" });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => child.kill(signal));
}
child.on("error", (error) => {
  console.error(`tinistreamer: ${error.message}`);
  process.exit(1);
});
child.on("exit", (code, signal) => {
  if (signal === null) return process.exit(code);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
