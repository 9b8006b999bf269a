// A project of a user: this repository's package beside the others, and the recipes. A link would
// find the packages in clients/typescript.

import { cpSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const here = path.dirname(fileURLToPath(import.meta.url));
export const root = path.join(here, '../..');
const library = process.env.TINISTREAMER_PACKAGE ?? path.join(root, 'clients/typescript');

/** The package, as `npm pack` would pack it. */
export const installed = path.join(here, 'node_modules/tinistreamer');

/** The recipes, where a user would have copied them. */
export const recipes = path.join(here, 'recipes');

export function makeProject() {
  for (const folder of [installed, recipes]) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
  }
  for (const part of ['bin', 'dist', 'package.json', 'README.md'])
    cpSync(path.join(library, part), path.join(installed, part), { recursive: true });
  cpSync(path.join(root, 'examples/recipes'), recipes, { recursive: true });
}
