// The examples are as short as they claim to be, in the format that the usual formatters give them.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import prettier from 'prettier';
import { root } from './package.mjs';

const examples = path.join(root, 'examples');

/** The files of a folder, also those in folders below it. */
const filesIn = (folder, pattern) =>
  readdirSync(path.join(examples, folder), { recursive: true })
    .filter((file) => pattern.test(file) && !/node_modules|__pycache__/.test(file))
    .map((file) => path.join(folder, file));

const RECIPES = filesIn('recipes', /\.(mjs|ts|tsx|rs|py)$/);

/** The most lines of each file. Imports and comments count. */
const LIMITS = new Map([
  ...RECIPES.map((file) => [file, 30]),
  ['axum-chat/src/main.rs', 20],
  ['axum-chat/page.html', 20],
  ['fastapi-chat/app.py', 20],
  ['fastapi-chat/page.html', 20],
  ['nextjs-chat/app/api/chat/route.ts', 20],
  ['nextjs-chat/app/chat.tsx', 20],
]);

const run = (program, ...args) => execFileSync(program, args, { encoding: 'utf8', stdio: 'pipe' });
const ruff = path.join(root, 'target/venv-clients/bin/ruff');

/** Throws unless a file is formatted. Prettier and rustfmt take 100 columns, ruff 88. */
async function checkFormat(file) {
  const whole = path.join(examples, file);
  if (file.endsWith('.rs')) return run('rustfmt', '--check', '--edition', '2024', whole);
  if (file.endsWith('.py')) return run(ruff, 'format', '--check', '--isolated', whole);
  const text = readFileSync(whole, 'utf8');
  const formatted = await prettier.format(text, { filepath: whole, printWidth: 100 });
  assert.equal(text, formatted, `${file} is formatted`);
}

test('no recipe has more than 30 lines, and no half of a chat more than 20', async () => {
  assert.ok(RECIPES.length >= 9, `there are recipes: ${RECIPES}`);
  for (const [file, limit] of LIMITS) {
    const lines = readFileSync(path.join(examples, file), 'utf8').split('\n');
    assert.equal(lines.pop(), '', `${file} ends with a line end`);
    assert.ok(lines.length <= limit, `${file} has ${lines.length} lines, and not ${limit}`);
    const long = lines.findIndex((line) => line.length > 100);
    assert.equal(long, -1, `${file}:${long + 1} has more than 100 columns`);
    await checkFormat(file);
  }
});

test('the list of recipes has each of them, and no other', () => {
  const list = readFileSync(path.join(examples, 'recipes/README.md'), 'utf8');
  const named = [...list.matchAll(/\]\(([\w./-]+\.(?:mjs|ts|tsx|rs|py))\)/g)].map(
    ([, file]) => file,
  );
  assert.deepEqual(named.map((file) => `recipes/${file}`).sort(), RECIPES.slice().sort());
});

test('both pages are the same', () => {
  const page = (folder) => readFileSync(path.join(examples, folder, 'page.html'), 'utf8');
  assert.equal(page('axum-chat'), page('fastapi-chat'));
});
