// Runs a job of scenario.mjs in each runtime, and returns the result.

import { spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { DEADLINE, kill, start } from '../support/processes.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const bin = (name) => path.join(here, 'node_modules/.bin', name);

export const RUNTIMES = {
  deno: (job) =>
    program(
      bin('deno'),
      [
        'run',
        '--no-remote',
        '--no-lock',
        '--node-modules-dir=manual',
        '--allow-read',
        '--allow-env',
        '--allow-net=127.0.0.1',
        'main.mjs',
      ],
      job,
    ),
  bun: (job) => program(bin('bun'), ['run', '--no-install', 'main.mjs'], job),
  workerd,
};

async function program(command, args, job, folder) {
  const child = start(command, [...args, JSON.stringify(job)], {
    cwd: here,
    env: {
      PATH: process.env.PATH,
      HOME: folder ?? process.env.HOME,
      NO_COLOR: '1',
      DENO_NO_UPDATE_CHECK: '1',
      DO_NOT_TRACK: '1',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  const [how] = await Promise.all([
    child.gone,
    ...[child.stdout, child.stderr].map(
      (pipe) => new Promise((resolve) => pipe.once('close', resolve)),
    ),
  ]);
  if (how.code !== 0) throw new Error(`${command}: ${JSON.stringify(how)}\n${err}`);
  return JSON.parse(out);
}

/** A worker is one file. Bun bundles it. */
async function workerd(job, folder) {
  const bundle = path.join(folder, 'worker.js');
  const built = spawnSync(
    bin('bun'),
    ['build', '--target=browser', '--format=esm', `--outfile=${bundle}`, 'worker.mjs'],
    { cwd: here, encoding: 'utf8' },
  );
  if (built.status !== 0) throw new Error(`The worker can't be bundled: ${built.stderr}`);
  const config = path.join(folder, 'worker.capnp');
  copyFileSync(path.join(here, 'worker.capnp'), config);
  const child = start(bin('workerd'), ['serve', '--control-fd=3', config], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  });
  let err = '';
  child.stderr.on('data', (chunk) => (err += chunk));
  try {
    const port = await Promise.race([
      listening(child.stdio[3]),
      child.gone.then((how) =>
        Promise.reject(new Error(`workerd: ${JSON.stringify(how)}\n${err}`)),
      ),
    ]);
    const answer = await fetch(`http://127.0.0.1:${port}/`, {
      method: 'POST',
      body: JSON.stringify(job),
      signal: AbortSignal.timeout(DEADLINE),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${text}\n${err}`);
    return JSON.parse(text);
  } finally {
    await kill(child);
  }
}

async function listening(control) {
  let text = '';
  for await (const chunk of control) {
    text += chunk;
    const port = /"event":"listen".*"port":(\d+)/.exec(text)?.[1];
    if (port) return Number(port);
  }
  throw new Error(`workerd reports no port: ${text}`);
}
