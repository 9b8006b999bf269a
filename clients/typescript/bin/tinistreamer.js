#!/usr/bin/env node
// Runs the broker: `npx tinistreamer dev`.

import { spawn } from "node:child_process";
import process from "node:process";
import { program } from "./program.js";

let file = "";
try {
  file = program();
} catch (error) {
  console.error(`tinistreamer: ${error.message}`);
  process.exit(1);
}
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
