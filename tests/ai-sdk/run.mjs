// Runs the tests with each version of the AI SDK: 6 on this Node, and 7 on the Node of npm's
// package `node`, because it needs Node 22. AI_SDK=6 or AI_SDK=7 runs one. Arguments go to
// `node --test`.

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { installLibrary } from './library.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const programs = { 6: process.execPath, 7: path.join(here, 'v7/node_modules/.bin/node') };
const versions = process.env.AI_SDK ? [process.env.AI_SDK] : Object.keys(programs);

for (const version of versions) {
  installLibrary(version);
  const options = ['--test', '--test-force-exit', '--test-concurrency=3', '--test-timeout=120000'];
  const { status } = spawnSync(programs[version], [...options, ...process.argv.slice(2)], {
    cwd: here,
    env: { ...process.env, AI_SDK: version },
    stdio: 'inherit',
  });
  if (status !== 0) {
    console.error(`The tests with ai@${version} failed`);
    process.exit(status ?? 1);
  }
}
