// The code in the README of the package, as modules that tests run.

import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

export const here = path.dirname(fileURLToPath(import.meta.url));

/** The block of a section that says that tests run it. */
export function blockOf(section) {
  const readme = readFileSync(path.join(here, 'node_modules/tinistreamer/README.md'), 'utf8');
  const [, text] = readme.split(`\n## ${section}\n`);
  const block = /runs it\. -->\n```ts\n(.*?)```/s.exec(text?.split('\n## ')[0] ?? '')?.[1];
  if (!block) throw new Error(`The README has no code for ${section}`);
  return block;
}

/** Writes the block as a module whose model is that of the tests. Returns its path. */
export function writeModule(section, folder) {
  const model = JSON.stringify(path.join(here, 'model.mjs'));
  const code = blockOf(section).replace(/"(@tanstack\/ai-openai|\.\/model)"/, model);
  const { outputText } = ts.transpileModule(code, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  });
  const file = path.join(folder, 'route.mjs');
  writeFileSync(file, outputText);
  return file;
}
