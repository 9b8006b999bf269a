import type { WebSocketConstructor } from "../websocket.js";
import type { Frame, Reply } from "./frame.js";

/** The inputs of one attempt to connect to the broker. */
export interface Attempt {
  url: URL;
  token: string;
  /** The id or the cursor to continue after. */
  after: string | undefined;
  /** Aborted when the connection is no longer needed. It must then be closed at once. */
  signal: AbortSignal;
  fetch: typeof globalThis.fetch;
  WebSocket: WebSocketConstructor | undefined;
  tokenInQuery: boolean;
  /** How long the broker may hold back the response to a poll, in seconds. */
  pollSeconds: number;
  /**
   * How long to wait for the next sign of activity, in milliseconds from now. `extra` is added to
   * the silence that a connection may keep.
   */
  timeout: (extra?: number) => number;
}

/**
 * What a connection delivers. A connection that ends in any other way throws: the broker's
 * `ApiError`, or the cause of the break.
 *
 * * `open`: the broker accepted it. Over WebSocket, `send` takes requests.
 * * `alive`: some bytes came, perhaps only a part of a frame.
 * * `heartbeat`: the broker has nothing to send at the moment.
 * * `over`: nothing follows the last position.
 * * `again`: the connection was closed on purpose. Another one can be made at once.
 * * `retry`: the broker's retry delay.
 * * `moved`: this cursor is the position after everything received so far.
 */
export type Received =
  | { kind: "open"; send?: (request: string) => void }
  | { kind: "alive" | "heartbeat" | "over" | "again" }
  | { kind: "retry"; milliseconds: number }
  | { kind: "frame"; frame: Frame }
  | { kind: "moved"; cursor: string }
  | { kind: "reply"; reply: Reply };

/** Connects, and yields what the connection delivers. It reads only when the caller asks. */
export type Connect = (attempt: Attempt) => AsyncGenerator<Received, void, void>;
