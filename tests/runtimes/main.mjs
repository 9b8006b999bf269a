// For runtimes that run a program: the job is its argument, the answer its output.

import process from 'node:process';
import { run } from './scenario.mjs';

console.log(JSON.stringify(await run(JSON.parse(process.argv[2]))));
