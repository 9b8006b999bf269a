// The types of the package, checked by the compiler with this version of the AI SDK: the example's
// backend and page, which are also those of the README.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { folder, here, version } from './packages.mjs';

const example = path.join(here, '../../examples/nextjs-chat');

/** The part of Next.js that the example's backend uses. Next.js itself has 300 MB. */
const NEXT = `
declare module "next/server" {
  export function after(task: Promise<unknown> | (() => unknown)): void;
}
`;

/** Uses that the example does not have. */
const MORE = `
import type { ChatTransport, UIMessage } from "ai";
import { BrokerChatTransport, ChatError } from "tinistreamer/ai-sdk";
import { createChatHandlers, pipeUIMessageStream, toNodeHandler } from "tinistreamer/ai-sdk/server";
import { Client } from "tinistreamer";
import { createServer } from "node:http";

type Message = UIMessage<{ model: string }, { note: { text: string } }>;
const transport: ChatTransport<Message> = new BrokerChatTransport<Message>({ stopOnAbort: false });
const handlers = createChatHandlers<Message>({
  client: new Client({ url: "http://localhost", apiKey: "k" }),
  authorize: () => "somebody",
  answer: ({ messages }) => {
    const model: string | undefined = messages.at(-1)?.metadata?.model;
    throw new ChatError("timeout", String(model));
  },
  onFinish: ({ message }) => void message?.metadata?.model.length,
});
createServer(toNodeHandler(handlers));
// @ts-expect-error The types of the AI SDK are known.
new BrokerChatTransport<Message>({ api: 1 });
// @ts-expect-error Nobody is let in by default.
createChatHandlers<Message>({ answer: () => new ReadableStream() });
export { pipeUIMessageStream, transport };
`;

test(`the types fit ai@${version}`, () => {
  const project = mkdtempSync(path.join(folder, 'types-'));
  try {
    mkdirSync(path.join(project, 'lib'));
    cpSync(path.join(example, 'app/api/chat/route.ts'), path.join(project, 'route.ts'));
    cpSync(path.join(example, 'app/chat.tsx'), path.join(project, 'chat.tsx'));
    cpSync(path.join(example, 'lib/app.ts'), path.join(project, 'lib/app.ts'));
    writeFileSync(path.join(project, 'next.d.ts'), NEXT);
    writeFileSync(path.join(project, 'more.ts'), MORE);
    const compilerOptions = {
      target: 'ES2022',
      lib: ['ES2023', 'DOM', 'DOM.Iterable'],
      module: 'ESNext',
      moduleResolution: 'Bundler',
      jsx: 'react-jsx',
      types: ['node'],
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      skipLibCheck: true,
      paths: { '@/*': ['./*'] },
    };
    const config = { compilerOptions, include: ['**/*.ts', '**/*.tsx'] };
    writeFileSync(path.join(project, 'tsconfig.json'), JSON.stringify(config));
    const tsc = path.join(folder, 'node_modules/typescript/bin/tsc');
    execFileSync(process.execPath, [tsc, '-p', project], { encoding: 'utf8' });
  } catch (error) {
    throw new Error(error.stdout || error);
  } finally {
    rmSync(project, { recursive: true, force: true });
  }
});
