// Every page of docs/ that has a code block is tested, and what others run is run.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { blocksOf, pages, root } from './blocks.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));

/** The texts of the tests of this folder. */
const tests = readdirSync(here)
  .filter((file) => file.endsWith('.test.mjs'))
  .map((file) => readFileSync(path.join(here, file), 'utf8'));

test('every page with a code block has tests here', () => {
  const described = tests.flatMap((text) => {
    const page = /^const PAGE = '(\S+)';$/m.exec(text)?.[1];
    return [...text.matchAll(/^describePage\(\s*(?:'(\S+)'|PAGE)/gm)].map((it) => it[1] ?? page);
  });
  assert.deepEqual(
    described.sort(),
    pages().filter((page) => blocksOf(page).length > 0),
  );
});

test('api/tests/suite/guides.rs runs all shell blocks of its pages', () => {
  const program = readFileSync(path.join(root, 'api/tests/suite/guides.rs'), 'utf8');
  const counts = [...program.matchAll(/all_succeed\("(\S+)"\)\.await, (\d+)\)/g)];
  assert.ok(counts.length > 0);
  for (const [, page, count] of counts) {
    const shell = blocksOf(`${page}.md`).filter(({ language }) => language === 'sh');
    assert.equal(shell.length, Number(count), page);
  }
  const claimed = tests
    .join('\n')
    .matchAll(/elsewhere\('sh', 'api\/tests\/suite\/guides\.rs runs it'(?:, (\d+))?\)/g);
  const sum = (numbers) => numbers.reduce((all, number) => all + number, 0);
  assert.equal(
    sum([...claimed].map(([, count = 1]) => Number(count))),
    sum(counts.map(([, , count]) => Number(count))),
  );
});
