import type { WebSocketConstructor } from "../websocket.js";
import type { RawEvent } from "./event.js";

/** What one connection to the broker is made from. */
export interface Attempt {
  url: URL;
  token: string;
  /** The id after which to go on. */
  after: string | undefined;
  /** Aborted when the subscription is over: everything must be let go at once. */
  signal: AbortSignal;
  fetch: typeof globalThis.fetch;
  WebSocket: WebSocketConstructor | undefined;
  tokenInQuery: boolean;
  /** For how long to wait for the next sign of life, in milliseconds, from now. */
  patience: () => number;
}

/**
 * What a connection brings. A connection that ends otherwise throws: an `ApiError` that the broker answered, or whatever broke it.
 *
 * * `alive`: something came, if only a heartbeat.
 * * `over`: there is nothing after the last event.
 * * `again`: the connection was closed on purpose; another can be made at once.
 */
export type Signal =
  | { kind: "alive" | "over" | "again" }
  | { kind: "retry"; milliseconds: number }
  | { kind: "event"; event: RawEvent };

/** Makes a connection and brings what comes over it, as it is asked for. */
export type Connect = (attempt: Attempt) => AsyncGenerator<Signal, void, void>;
