// docs/guides/testing-your-app.md

import assert from 'node:assert/strict';
import { describePage, runs } from './harness.mjs';

describePage(
  'guides/testing-your-app.md',
  runs('js', 'answer.test.mjs passes with node --test', async (reader, text) => {
    reader.install();
    const file = reader.save(text);
    const args = ['--test', '--test-reporter=tap', file];
    const out = await reader.start(process.execPath, args).ended();
    assert.match(out, /ok 1 - an answer survives a broken connection/);
    assert.match(out, /^# pass 1$/m);
  }),
  runs('python', 'test_answer.py passes with pytest', async (reader, text) => {
    assert.match(await reader.pytest(text), /^1 passed/m);
  }),
);
