// Runs the tests that `assistant-stream` ships (MIT licence) as they are, with the broker's store.

import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { SKIPPED } from './skipped.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const resumable = path.join(here, '../node_modules/assistant-stream/src/resumable');

const brokerStore = {
  name: 'broker-store',
  enforce: 'pre',
  resolveId(source, importer = '') {
    // Their tests import their store in memory, and get the broker's.
    if (/\/InMemoryResumableStreamStore$/.test(source) && importer.endsWith('.test.ts'))
      return path.join(here, 'store.mjs');
    // One class of errors for their tests and for the store.
    if (source === 'assistant-stream/resumable') return path.join(resumable, 'index.ts');
    return undefined;
  },
};

const escaped = [...SKIPPED.keys()].map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));

export default defineConfig({
  root: path.join(here, '..'),
  plugins: [brokerStore],
  test: {
    include: ['node_modules/assistant-stream/src/resumable/**/*.test.ts'],
    exclude: ['**/stores/redis*.test.ts'],
    testNamePattern: new RegExp(`^(?!(?:${escaped.join('|')})$)`),
    server: { deps: { inline: [/assistant-stream/, /tinistreamer/] } },
    testTimeout: 60_000,
  },
});
