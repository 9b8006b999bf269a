// Compares what a page says that the broker sends with what it sends.

import assert from 'node:assert/strict';

/** Values that differ each time, and what stands for them. */
const CHANGING = [
  [/\b\d{13}-(?=\d+\b)/g, 'TIME-'],
  [/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.(\d+)Z/g, (_, digits) => `TIME.${digits.length}`],
  [/http:\/\/(127\.0\.0\.1|localhost):\d+/g, 'http://BROKER'],
  [/ws:\/\/(127\.0\.0\.1|localhost):\d+/g, 'ws://BROKER'],
  [/^[0-9a-f]{16}$/, 'ID'],
  [/^[0-9a-f]{32}$/, 'GENERATION'],
  [/^\d{1,3}(\.\d{1,3}){3}$/, 'ADDRESS'],
  [/~[\w-]+$/, '~POSITIONS'],
];

const fixed = (text) => CHANGING.reduce((now, [from, to]) => now.replace(from, to), text);

/**
 * Fails unless `actual` has the form of `documented`: the same members, and the same values, except
 * times, ids and tokens. A text that ends in `…` stands for all texts that begin with it, and one
 * of hexadecimal digits for a token. Members in `varying` need only the same type.
 */
export function assertLike(documented, actual, varying = [], at = '') {
  assert.equal(kind(actual), kind(documented), `${at}: ${JSON.stringify(actual)}`);
  if (kind(documented) === 'array') {
    assert.equal(actual.length, documented.length, `${at}: ${JSON.stringify(actual)}`);
    documented.forEach((value, n) => assertLike(value, actual[n], varying, `${at}[${n}]`));
  } else if (kind(documented) === 'object') {
    assert.deepEqual(Object.keys(actual).sort(), Object.keys(documented).sort(), `members ${at}`);
    for (const [name, value] of Object.entries(documented))
      if (varying.includes(name)) assert.equal(kind(actual[name]), kind(value), `${at}.${name}`);
      else assertLike(value, actual[name], varying, `${at}.${name}`);
  } else if (typeof documented === 'string') assertLikeText(documented, actual, at);
  else assert.equal(actual, documented, at);
}

/** The same for texts. */
export function assertLikeText(documented, actual, at = '') {
  const known = documented.endsWith('…') ? documented.slice(0, -1) : null;
  if (/^[0-9a-f]+$/.test(known)) assert.match(actual, /^[0-9a-f]{64,}$/, at);
  else if (known !== null)
    assert.ok(actual.startsWith(known) && actual !== known, `${at}: ${actual}`);
  else assert.equal(fixed(actual), fixed(documented), at);
}

const kind = (value) => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);

/** The values of a block with a JSON value on each line. */
export const linesOf = (text) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
