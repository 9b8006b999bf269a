// Checks the pages that people read. An error: a link that leads nowhere, a page that no list has,
// a README with too many words. A report, and no error: sentences that are too long.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { toString } from 'mdast-util-to-string';
import { remark } from 'remark';
import remarkGfm from 'remark-gfm';
import remarkValidateLinks from 'remark-validate-links';
import { engine } from 'unified-engine';
import { visit } from 'unist-util-visit';
import { reporter } from 'vfile-reporter';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** The most words of the README, outside code. */
const README_WORDS = 700;
/** The most words of a sentence that is easy to read. */
const SENTENCE_WORDS = 25;
/** How many of the longest sentences the report shows. */
const SHOWN = Number(process.env.SHOWN ?? 5);

/** Parts of pages that a program puts together. */
const PARTS = /^bench\/src\//;

const read = (page) => readFileSync(path.join(ROOT, page), 'utf8');
const markdown = remark().use(remarkGfm);
const sentences = new Intl.Segmenter('en', { granularity: 'sentence' });
const words = (text) => text.split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word)).length;

/** The pages that are committed, or that a commit would add. */
function pages() {
  const command = ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '*.md'];
  const listed = execFileSync('git', command, { cwd: ROOT, encoding: 'utf8' }).split('\0');
  // A file that was removed, and not committed yet, is still listed.
  const isPage = (page) => page && !PARTS.test(page) && existsSync(path.join(ROOT, page));
  return [...new Set(listed)].filter(isPage).sort();
}

/** The text of paragraphs and list items, without code blocks and tables. */
function paragraphs(page) {
  const found = [];
  visit(markdown.parse(read(page)), 'paragraph', (node) => {
    // A piece of code counts as one word.
    const text = structuredClone(node);
    visit(text, 'inlineCode', (code) => {
      // Capital, because a sentence may begin with code.
      code.value = 'Code';
    });
    found.push({ text: toString(text).replaceAll(/\s+/g, ' '), line: node.position.start.line });
  });
  return found;
}

/** Reports links to files and headings that do not exist. Returns whether there are none. */
async function checkLinks(all) {
  const messages = await new Promise((resolve, reject) => {
    const options = {
      processor: markdown,
      cwd: ROOT,
      files: all,
      plugins: [[remarkValidateLinks, { repository: false }]],
      frail: true,
      output: false,
      out: false,
      reporter: (files) => reporter(files, { quiet: true }),
      streamError: process.stderr,
    };
    engine(options, (error, code) => (error ? reject(error) : resolve(code)));
  });
  return messages === 0;
}

/** Pages of docs/ that a list does not link to. */
function unlisted(all, list) {
  const links = new Set();
  visit(markdown.parse(read(list)), 'link', ({ url }) => {
    links.add(path.posix.join(path.posix.dirname(list), url.split('#')[0]));
  });
  const isPage = (page) => page.startsWith('docs/') && !page.startsWith('docs/decisions/0');
  return all.filter((page) => isPage(page) && page !== 'docs/README.md' && !links.has(page));
}

/** Prints which share of the sentences is too long, and the longest ones. */
function reportSentences(all) {
  const long = [];
  let count = 0;
  for (const page of all) {
    for (const { text, line } of paragraphs(page)) {
      for (const { segment } of sentences.segment(text)) {
        count += 1;
        const length = words(segment);
        if (length > SENTENCE_WORDS) long.push({ page, line, length, segment });
      }
    }
  }
  console.log(`${long.length} of ${count} sentences have more than ${SENTENCE_WORDS} words`);
  long.sort((a, b) => b.length - a.length);
  for (const { page, line, length, segment } of long.slice(0, SHOWN))
    console.log(`  ${page}:${line}: ${length} words: ${segment.slice(0, 60).trim()}…`);
}

const all = pages();
const errors = [];
if (!(await checkLinks(all))) errors.push('there are links that lead nowhere');
for (const list of ['docs/README.md', 'llms.txt'])
  for (const page of unlisted(all, list)) errors.push(`${list} does not list ${page}`);
const inReadme = words(read('README.md').replaceAll(/^```[^]*?^```$/gm, ''));
if (inReadme > README_WORDS) errors.push(`README.md has ${inReadme} words outside code`);
reportSentences(all.filter((page) => page !== 'CHANGELOG.md'));
for (const error of errors) console.error(error);
process.exitCode = errors.length > 0 ? 1 : 0;
