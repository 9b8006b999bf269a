// The recipe for Next.js, in an app of its own: its types, and the page in Chromium.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { onStores } from '../browser/harness.mjs';
import { question, textOf } from './model.mjs';
import { here, recipes } from './package.mjs';
import { prepare, serve, settings } from './programs.mjs';

const project = path.join(here, 'nextjs');
const module = (file) => path.join(here, 'node_modules', file);

const CONFIG = 'export default { turbopack: { root: `${import.meta.dirname}/..` } };';
const LAYOUT =
  'export default ({ children }: { children: React.ReactNode }) => <html><body>{children}</body></html>;';
const TYPES = {
  compilerOptions: {
    target: 'es2022',
    lib: ['dom', 'dom.iterable', 'esnext'],
    module: 'esnext',
    moduleResolution: 'bundler',
    jsx: 'react-jsx',
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    isolatedModules: true,
    esModuleInterop: true,
    resolveJsonModule: true,
    allowJs: true,
    incremental: false,
  },
  include: ['app'],
};

/** Puts the files where the recipe says. */
function makeApp() {
  rmSync(project, { recursive: true, force: true });
  mkdirSync(path.join(project, 'app/answers'), { recursive: true });
  cpSync(path.join(recipes, 'nextjs/page.tsx'), path.join(project, 'app/page.tsx'));
  cpSync(path.join(recipes, 'nextjs/route.ts'), path.join(project, 'app/answers/route.ts'));
  writeFileSync(path.join(project, 'app/layout.tsx'), LAYOUT);
  writeFileSync(path.join(project, 'next.config.mjs'), CONFIG);
  writeFileSync(path.join(project, 'package.json'), '{ "private": true, "type": "module" }');
  writeFileSync(path.join(project, 'tsconfig.json'), JSON.stringify(TYPES));
}

onStores(
  'nextjs: a page asks, and stops the model',
  async (fixture) => {
    makeApp();
    execFileSync(process.execPath, [module('typescript/bin/tsc'), '-p', project], {
      stdio: 'inherit',
    });
    await prepare(fixture);
    const backend = await serve(
      fixture,
      process.execPath,
      (port) => [module('next/dist/bin/next'), 'dev', '-H', '127.0.0.1', '-p', String(port)],
      () => ({
        cwd: project,
        env: { ...settings(fixture), NEXT_TELEMETRY_DISABLED: '1' },
        // It starts the server as a process of its own.
        detached: true,
      }),
    );
    const tab = await (await fixture.context()).newPage();
    await tab.goto(backend.url);
    const ask = async (script) => {
      await tab.locator('input').fill(question(script));
      await tab.getByRole('button', { name: 'Ask' }).click();
    };
    const shows = (text, status) =>
      tab.waitForFunction(
        ({ text, status }) =>
          document.querySelector('pre').textContent === text &&
          document.querySelector('form').textContent.includes(status),
        { text, status },
      );
    await ask({ words: 100 });
    await shows(textOf(100), 'ended');
    await ask({ words: 50, hang: true });
    await shows(textOf(50), 'streaming');
    await tab.getByRole('button', { name: 'Stop' }).click();
    await fixture.model.until('left');
    await shows(textOf(50), 'cancelled');
    await ask({ words: 20, fail: true });
    await shows(textOf(20), 'failed');
    assert.equal(fixture.model.calls.length, 3);
  },
  ['memory'],
);
