// The tests that `assistant-stream` ships for its stores, with the broker's store.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Fixture } from '../support/fixture.mjs';
import { SKIPPED } from './conformance/skipped.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
/** How many of their tests run at least. The package that is pinned has 69 of them. */
const AT_LEAST = 69;

test("assistant-ui's own tests pass with the broker's store", async (t) => {
  const fixture = new Fixture('memory');
  t.after(() => fixture.close());
  const { url, apiKey } = await fixture.broker();
  const report = path.join(fixture.folder, 'report.json');
  const args = ['run', '--config', 'conformance/vitest.config.mjs', '--reporter=json'];
  const done = await promisify(execFile)(
    process.execPath,
    [path.join(here, 'node_modules/vitest/vitest.mjs'), ...args, `--outputFile=${report}`],
    {
      cwd: here,
      env: { ...process.env, TINISTREAMER_URL: url, TINISTREAMER_API_KEY: apiKey },
      maxBuffer: 16 * 1024 * 1024,
    },
  ).catch((error) => error);
  const { testResults } = JSON.parse(readFileSync(report, 'utf8'));
  const results = testResults.flatMap(({ assertionResults }) => assertionResults);
  const named = (...statuses) =>
    results.filter(({ status }) => statuses.includes(status)).map(({ fullName }) => fullName);
  const failures = results.flatMap(({ fullName, failureMessages }) =>
    (failureMessages ?? []).map((message) => `${fullName}: ${message}`),
  );
  assert.deepEqual(failures, []);
  assert.deepEqual(named('skipped', 'pending', 'todo').sort(), [...SKIPPED.keys()].sort());
  assert.ok(named('passed').length >= AT_LEAST, `only ${named('passed').length} tests ran`);
  assert.ok(!(done instanceof Error), done.stderr);
});
