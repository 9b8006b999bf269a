// Puts this repository's package beside each version of the AI SDK, so that it finds that version,
// as it does where users install it. A link would find the version in clients/typescript.

import { cpSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const library = process.env.TINISTREAMER_PACKAGE ?? path.join(here, '../../clients/typescript');

/** Copies what `npm pack` would pack. */
export function installLibrary(version) {
  const target = path.join(here, `v${version}/node_modules/tinistreamer`);
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  for (const part of ['bin', 'dist', 'package.json', 'README.md'])
    cpSync(path.join(library, part), path.join(target, part), { recursive: true });
}
