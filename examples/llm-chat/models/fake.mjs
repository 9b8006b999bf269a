import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const folder = new URL('answers/', import.meta.url);
const ANSWERS = readdirSync(folder)
  .sort()
  .map((file) => readFileSync(new URL(file, folder), 'utf8').trim());

/** Milliseconds between tokens. */
const DELAY = { least: 20, most: 60 };

/**
 * Returns one of a few answers, by the hash of the question, token by token at the speed of a real
 * model.
 */
export async function* fakeModel(question, signal) {
  const hash = createHash('sha256').update(question).digest().readUInt32BE();
  for (const token of tokens(ANSWERS[hash % ANSWERS.length])) {
    await sleep(DELAY.least + Math.random() * (DELAY.most - DELAY.least), undefined, { signal });
    yield token;
  }
}

/** Pieces like those of a model: short words with the space before them, long words in parts. */
function tokens(text) {
  return text.match(/\s?[^\s]{1,8}|\s/gu);
}
