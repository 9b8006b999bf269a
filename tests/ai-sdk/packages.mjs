// The packages of the AI SDK that are under test, and this repository's package beside them.

import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** 6 or 7. `run.mjs` sets it. */
export const version = process.env.AI_SDK ?? '6';
export const here = path.dirname(fileURLToPath(import.meta.url));
/** The folder of the packages. */
export const folder = path.join(here, `v${version}`);

export const { ai, Chat, MockLanguageModel, page, server, Client } = await import(
  `./v${version}/packages.mjs`
);
