export type { ClientOptions } from "./api.js";
export {
  type CallOptions,
  type CancelOptions,
  Client,
  type ClientFilter,
  type EndOptions,
  type FailOptions,
  type StreamOptions,
  type TokenOptions,
  type TokenScope,
} from "./client.js";
export { ApiError, type ApiErrorDetails, PublishError, UnreachableError } from "./errors.js";
export type {
  Access,
  Added,
  BrokerInfo,
  ClientRow,
  CreateStream,
  Disconnected,
  Event,
  Finished,
  IfTaken,
  IssueToken,
  StoredEvent,
  StreamRow,
  StreamState,
} from "./generated/openapi.js";
export type { Ack, Acknowledgement } from "./publish/outbox.js";
export type { PublishOptions, Writer } from "./publish/writer.js";
export type { WebSocketConstructor, WebSocketLike } from "./websocket.js";
