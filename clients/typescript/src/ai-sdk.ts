// For pages. `ai-sdk/server.ts` is for backends.

export type { ChatAccess } from "./ai-sdk/access.js";
export { ChatError } from "./ai-sdk/errors.js";
export {
  BrokerChatTransport,
  type BrokerChatTransportOptions,
  type FollowSettings,
} from "./ai-sdk/transport.js";
export { ApiError, SubscribeError } from "./errors.js";
