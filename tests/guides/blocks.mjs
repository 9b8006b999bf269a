// The code blocks of the documentation.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const docs = path.join(root, 'docs');

/** All pages, as paths in docs/. */
export const pages = () =>
  readdirSync(docs, { recursive: true })
    .filter((file) => file.endsWith('.md'))
    .sort();

/** The fenced code blocks of a page, in order. */
export function blocksOf(page) {
  const lines = readFileSync(path.join(docs, page), 'utf8').split('\n');
  const blocks = [];
  let open = null;
  lines.forEach((line, n) => {
    const fence = /^( *)(```+|~~~+) *(\S*)/.exec(line);
    if (open) {
      if (fence?.[2] === open.fence && !fence[3]) {
        blocks.push({ ...open, text: open.lines.map((it) => `${it}\n`).join('') });
        open = null;
      } else open.lines.push(line.slice(open.indent));
    } else if (fence) {
      const [, { length: indent }, mark, language] = fence;
      open = { page, line: n + 1, fence: mark, indent, language, lines: [] };
    }
  });
  assert.equal(open, null, `${page}: a block without an end`);
  return blocks;
}
