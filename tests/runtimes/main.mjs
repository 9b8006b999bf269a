// For runtimes that run a program. Its argument is the job, and its output is the result.

import process from 'node:process';
import { run } from './scenario.mjs';

console.log(JSON.stringify(await run(JSON.parse(process.argv[2]))));
