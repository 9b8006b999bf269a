// The types of the package and of the README's code, with those of the real packages.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { blockOf, here } from './readme.mjs';

/** What the code of the README imports, and is not installed. */
const MODELS = {
  'openai.d.ts': `
    declare module "@tanstack/ai-openai" {
      import type { AnyTextAdapter } from "@tanstack/ai";
      export function openaiText(model: string): AnyTextAdapter;
    }`,
  'model.ts': `
    export async function* answer(prompt: string, signal: AbortSignal): AsyncGenerator<string> {
      signal.throwIfAborted();
      yield prompt;
    }`,
};

/** Uses that the README does not have. */
const MORE = `
  import { replayRunStream, type StreamDurability } from "@tanstack/ai";
  import type { ResumableStreamStore } from "assistant-stream/resumable";
  import { Client } from "tinistreamer";
  import { createBrokerResumableStreamStore } from "tinistreamer/assistant-ui";
  import { type BrokerOffset, brokerStream, RunError } from "tinistreamer/tanstack-ai";

  const client = new Client({ url: "http://localhost", apiKey: "k" });
  const log = brokerStream({ runId: "r", offset: null }, { client, lease: 0 });
  export const durability: StreamDurability<BrokerOffset> = log;
  export const chunks = replayRunStream(log);
  export const store: ResumableStreamStore = createBrokerResumableStreamStore({ client });
  // @ts-expect-error An offset is not any string.
  log.read("1");
  // @ts-expect-error The broker is needed.
  brokerStream({ runId: "r" }, {});
  // @ts-expect-error So it is here.
  createBrokerResumableStreamStore({ keyPrefix: "x" });
  export const code: "run-exists" | undefined =
    new RunError("run-exists", "x").code === "run-exists" ? "run-exists" : undefined;
`;

test('the types fit the packages', () => {
  const project = mkdtempSync(path.join(here, 'node_modules/.types-'));
  try {
    const files = {
      ...MODELS,
      'more.ts': MORE,
      'tanstack-ai.ts': blockOf('TanStack AI'),
      'assistant-ui.ts': blockOf('assistant-ui'),
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(path.join(project, name), text);
    const compilerOptions = {
      target: 'ES2022',
      lib: ['ES2023', 'DOM', 'DOM.Iterable'],
      module: 'ESNext',
      moduleResolution: 'Bundler',
      types: ['node'],
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      skipLibCheck: true,
    };
    const config = { compilerOptions, include: ['*.ts'] };
    writeFileSync(path.join(project, 'tsconfig.json'), JSON.stringify(config));
    const tsc = path.join(here, 'node_modules/typescript/bin/tsc');
    execFileSync(process.execPath, [tsc, '-p', project], { encoding: 'utf8' });
  } catch (error) {
    throw new Error(error.stdout || error);
  } finally {
    rmSync(project, { recursive: true, force: true });
  }
});
