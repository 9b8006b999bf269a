// Runs the tests, in a project as a user has it. Arguments go to `node --test`.

import { spawnSync } from 'node:child_process';
import { here, makeProject } from './package.mjs';

makeProject();
const options = ['--test', '--test-force-exit', '--test-concurrency=4', '--test-timeout=600000'];
const { status } = spawnSync(process.execPath, [...options, ...process.argv.slice(2)], {
  cwd: here,
  stdio: 'inherit',
});
process.exit(status ?? 1);
