// Runs the tests. Arguments go to `node --test`.

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { installLibrary } from './library.mjs';

installLibrary();
const options = ['--test', '--test-force-exit', '--test-concurrency=4', '--test-timeout=600000'];
const { status } = spawnSync(process.execPath, [...options, ...process.argv.slice(2)], {
  cwd: path.dirname(fileURLToPath(import.meta.url)),
  stdio: 'inherit',
});
process.exit(status ?? 1);
