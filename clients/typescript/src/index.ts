export type { ClientOptions } from "./api.js";
export { Client } from "./client.js";
export type {
  CallOptions,
  CancelOptions,
  ClientFilter,
  EndOptions,
  FailOptions,
  RenewOptions,
  SignalOptions,
  StreamOptions,
  TokenOptions,
  TokenScope,
} from "./client-options.js";
export {
  ApiError,
  type ApiErrorDetails,
  PublishError,
  StoppedError,
  UnreachableError,
} from "./errors.js";
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
  Permission,
  Renewed,
  SignalRecord,
  SignalSent,
  Signals,
  StoredEvent,
  StreamRow,
  StreamState,
} from "./generated/openapi.js";
export type { LogEntry, OnLog } from "./log.js";
export type { Cancellation, Failure, PublishOptions } from "./publish/options.js";
export type { Ack, Acknowledgement } from "./publish/outbox.js";
export type { Source } from "./publish/pipe.js";
export type { Writer } from "./publish/writer.js";
export type { WebSocketConstructor, WebSocketLike } from "./websocket.js";
