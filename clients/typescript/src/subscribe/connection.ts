import type { WebSocketConstructor } from "../websocket.js";
import type { RawEvent } from "./event.js";

/** What one connection to the broker is made from. */
export interface Attempt {
  url: URL;
  token: string;
  /** The id or the cursor after which to go on. */
  after: string | undefined;
  /** Aborted when the connection is no longer wanted: everything must be let go at once. */
  signal: AbortSignal;
  fetch: typeof globalThis.fetch;
  WebSocket: WebSocketConstructor | undefined;
  tokenInQuery: boolean;
  /** For how long the broker may hold back the answer to a poll, in seconds. */
  pollSeconds: number;
  /**
   * For how long to wait for the next sign of life, in milliseconds, from now; `more` is added to
   * the silence that is borne.
   */
  patience: (more?: number) => number;
}

/** What the broker answers to a WebSocket's request to add or drop a stream. */
export interface Answer {
  op: "subscribed" | "unsubscribed" | "error";
  key: string;
  /** The position in the stream; null where there is none. */
  after?: string | null;
  /** Of an error. */
  code?: string;
  message?: string;
}

/**
 * What a connection brings. A connection that ends otherwise throws: an `ApiError` that the broker
 * answered, or whatever broke it.
 *
 * * `open`: the broker has accepted it. Over WebSocket, `send` takes requests.
 * * `alive`: something came, if only a part of what it brings.
 * * `heartbeat`: there is nothing to bring at the moment.
 * * `over`: there is nothing after the last position.
 * * `again`: the connection was closed on purpose; another can be made at once.
 * * `moved`: all that came up to here is what precedes this cursor.
 */
export type Signal =
  | { kind: "open"; send?: (request: string) => void }
  | { kind: "alive" | "heartbeat" | "over" | "again" }
  | { kind: "retry"; milliseconds: number }
  | { kind: "event"; event: RawEvent }
  | { kind: "moved"; cursor: string }
  | { kind: "answer"; answer: Answer };

/** Makes a connection and brings what comes over it, as it is asked for. */
export type Connect = (attempt: Attempt) => AsyncGenerator<Signal, void, void>;
