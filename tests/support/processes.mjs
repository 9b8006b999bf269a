// Processes and folders of tests. They are removed when the tests end, in any way.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Ends waits that would otherwise never end, in milliseconds. No test measures time, so a busy
 * machine only makes tests slower.
 */
export const DEADLINE = 120_000;

// A test that is interrupted or crashes runs no `finally`.
const processes = new Set();
const folders = new Set();
process.on('exit', () => {
  for (const child of processes) signalKill(child);
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
// The test runner exits by force when all tests of a file are over, also with open handles. So this
// checks that none is open.
after(async () => {
  const openServers = () =>
    process.getActiveResourcesInfo().filter((kind) => kind === 'TCPServerWrap');
  // A server that was closed stays a handle for a few turns of the event loop.
  for (let turn = 0; turn < 100 && openServers().length > 0; turn += 1) await sleep(0);
  const servers = openServers();
  const open = [...processes].filter(({ isShared }) => !isShared);
  // Not earlier: what they have started ends with them, and would be missing above.
  for (const child of processes) if (child.isShared) await kill(child);
  assert.deepEqual(
    open.map(({ spawnfile }) => spawnfile).concat(servers),
    [],
    'the tests have closed what they opened',
  );
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

export async function until(condition, what, deadline = Date.now() + DEADLINE) {
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > deadline)
      throw new Error(`timed out: ${typeof what === 'function' ? what() : what}`);
    await sleep(20);
  }
}

/** Kills a process. With `detached` it has a group of its own: then also what it has started. */
function signalKill(child) {
  if (!child.isDetached) {
    child.kill('SIGKILL');
    return;
  }
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    // The whole group is gone already.
    if (error.code !== 'ESRCH') throw error;
  }
}

/** Starts a child process. */
export function start(command, args, options) {
  const child = spawn(command, args, options);
  child.isDetached = options?.detached === true;
  // A character may be split between two chunks. With an encoding the stream joins it.
  for (const pipe of [child.stdout, child.stderr]) pipe?.setEncoding('utf8');
  return track(child);
}

/**
 * The process ends with the tests. Its `gone` resolves with `{ code, signal }` when it has ended,
 * or with `{ error }` when it could not be started. With `isShared` all tests of the file use it,
 * and none has to close it.
 */
export function track(child) {
  processes.add(child);
  child.gone = new Promise((resolve) => {
    child.once('error', (error) => resolve({ error }));
    child.once('exit', (code, signal) => resolve({ code, signal }));
  }).finally(() => processes.delete(child));
  return child;
}

export async function kill(child) {
  if (child.pid !== undefined) signalKill(child);
  await child.gone;
}

export function makeFolder() {
  const folder = mkdtempSync(path.join(tmpdir(), 'tinistreamer-test-'));
  folders.add(folder);
  return folder;
}

export function removeFolder(folder) {
  rmSync(folder, { recursive: true, force: true });
  folders.delete(folder);
}
