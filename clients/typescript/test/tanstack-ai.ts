// Chunks of TanStack AI.

import type { StreamChunk } from "@tanstack/ai";

export const text = (delta: string) =>
  ({ type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta, timestamp: 1 }) as StreamChunk;
export const finished = {
  type: "RUN_FINISHED",
  threadId: "t",
  runId: "r",
  timestamp: 1,
} as StreamChunk;
export const failed = (message: string, code?: string) =>
  ({ type: "RUN_ERROR", message, ...(code && { code }), timestamp: 1 }) as StreamChunk;
export const deltas = (chunks: { chunk: StreamChunk }[]) =>
  chunks.map(({ chunk }) => ("delta" in chunk ? chunk.delta : chunk.type));
