// Puts this repository's package beside the packages under test, so that it finds them, as it does
// where users install it. A link would find those in clients/typescript.

import { cpSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const library = process.env.TINISTREAMER_PACKAGE ?? path.join(here, '../../clients/typescript');

/** Copies what `npm pack` would pack. */
export function installLibrary() {
  const target = path.join(here, 'node_modules/tinistreamer');
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  for (const part of ['bin', 'dist', 'package.json', 'README.md'])
    cpSync(path.join(library, part), path.join(target, part), { recursive: true });
}
