// The text of a model's answer, and the question that asks for it.

import { setTimeout as sleep } from 'node:timers/promises';

/** Characters that something between could change. */
const WORDS = [
  'plain ',
  'crab 🦀 ',
  'CR\r',
  'CRLF\r\n',
  '\n\n',
  'sep\u2028',
  'tab\t',
  '"quote" ',
  'é ',
];

/** The lengths of the deltas. Some of them split the halves of a crab. */
const SIZES = [5, 8, 3];

/** The answer of so many words. */
export const textOf = (count) =>
  Array.from({ length: count }, (_, n) => `${n} ${WORDS[n % WORDS.length]}`).join('');

/** What a question asks for: `words`, `delay` between deltas in ms, `fail` or `hang` after them. */
export const question = (script) => JSON.stringify(script);

/** The deltas of the answer. With `hang` they do not end until the signal aborts. */
export async function* deltasOf({ words = 0, delay = 0, hang }, signal) {
  const text = textOf(words);
  for (let [at, n] = [0, 0]; at < text.length; n += 1) {
    if (delay > 0) await sleep(delay, undefined, { signal });
    signal?.throwIfAborted();
    const size = SIZES[n % SIZES.length];
    yield text.slice(at, at + size);
    at += size;
  }
  if (hang) await sleep(600_000, undefined, { signal, ref: false });
}
