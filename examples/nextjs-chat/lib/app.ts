// What an application has of its own: a model, a place for its chats, and its users.

import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { simulateReadableStream, type UIMessage } from "ai";
import { MockLanguageModelV3 } from "ai/test";

const FOLDER = path.resolve(".chats");

const ANSWER = `This text comes from a model that only pretends to think. It types slowly, so that
you have time for a few experiments.

Reload the page: the answer goes on. Open the same address in a second tab: both tabs show the same
text. Press Stop in one of them: the model stops, and both tabs keep the text so far. Stop the
backend: within half a minute the page says that the answer broke off.

A real model takes the place of this one in lib/app.ts. 🦀`;

const tokens = { total: 0, noCache: 0, cacheRead: 0, cacheWrite: 0, text: 0, reasoning: 0 };

/** A model that types a text. It needs no key. */
export const model = new MockLanguageModelV3({
  doStream: async () => ({
    stream: simulateReadableStream({
      chunkDelayInMs: 60,
      chunks: [
        { type: "text-start" as const, id: "0" },
        ...(ANSWER.match(/\S+\s*/g) ?? []).map((delta) => ({
          type: "text-delta" as const,
          id: "0",
          delta,
        })),
        { type: "text-end" as const, id: "0" },
        {
          type: "finish" as const,
          finishReason: { unified: "stop" as const, raw: "stop" },
          usage: { inputTokens: tokens, outputTokens: tokens },
        },
      ],
    }),
  }),
});

/** Who uses this chat. An application checks here who is signed in, and whose chat it is. */
export function userOf(_request: Request, chatId: string): string | Response {
  return isChatId(chatId) ? "somebody" : new Response("There is no such chat", { status: 404 });
}

/** The messages of a chat. */
export async function loadChat(id: string): Promise<UIMessage[]> {
  if (!isChatId(id)) return [];
  try {
    return JSON.parse(await readFile(fileOf(id), "utf8"));
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return [];
    throw error;
  }
}

/** Saves the messages of a chat. */
export async function saveChat(id: string, messages: UIMessage[]): Promise<void> {
  await mkdir(FOLDER, { recursive: true });
  await writeFile(`${fileOf(id)}.new`, JSON.stringify(messages));
  await rename(`${fileOf(id)}.new`, fileOf(id));
}

const isChatId = (id: string) => /^[A-Za-z0-9]{1,64}$/.test(id);
const fileOf = (id: string) => path.join(FOLDER, `${id}.json`);
