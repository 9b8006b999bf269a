// Runs the tests with each version of the AI SDK, both at once: 6 on this Node, and 7 on the Node
// of npm's package `node`, because it needs Node 22. AI_SDK=6 or AI_SDK=7 runs one. Arguments go to
// `node --test`.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { installLibrary } from './library.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const programs = { 6: process.execPath, 7: path.join(here, 'v7/node_modules/.bin/node') };
const versions = process.env.AI_SDK ? [process.env.AI_SDK] : Object.keys(programs);
const options = ['--test', '--test-force-exit', '--test-concurrency=3', '--test-timeout=600000'];

/** Returns whether the tests passed, and what they printed. */
async function run(version) {
  const child = spawn(programs[version], [...options, ...process.argv.slice(2)], {
    cwd: here,
    env: { ...process.env, AI_SDK: version },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output, [status]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  return { version, output, passed: status === 0 };
}

for (const version of versions) installLibrary(version);
for (const { version, output, passed } of await Promise.all(versions.map(run))) {
  process.stdout.write(output);
  if (!passed) {
    console.error(`The tests with ai@${version} failed`);
    process.exitCode = 1;
  }
}
