// For backends. `../ai-sdk.ts` is for pages.

export type { ChatAccess } from "./access.js";
export { ChatError } from "./errors.js";
export { type ChatHandlers, createChatHandlers } from "./handlers.js";
export { type NodeRequest, type NodeResponse, toNodeHandler } from "./node.js";
export type {
  AnswerContext,
  ChatContext,
  ChatHandlerOptions,
  FinishedAnswer,
} from "./options.js";
export { type PipedAnswer, type PipeOptions, pipeUIMessageStream } from "./pipe.js";
