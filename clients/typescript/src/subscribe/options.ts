import type { OnLog } from "../log.js";
import type { WebSocketConstructor } from "../websocket.js";
import type { ConnectionChange } from "./connection-reporter.js";

/**
 * A token, or a function that makes one. The function is called before the first connection, and
 * when a token is no longer valid.
 */
export type Token = string | (() => string | Promise<string>);

/** What opens streams: a part of what `createStream` and `issueToken` return. */
export interface TokenAccess {
  sse_url: string;
  token: string;
}

/**
 * The start position in a stream: `start`, `now`, `-N` for its last N events, or a time as RFC 3339
 * text or a `Date`.
 */
export type From = string | Date;

/** The options that one stream and several streams share. */
export interface FollowOptions {
  /**
   * One of the broker's URLs for subscribers. The end of its path names the transport: `/sse`,
   * `/ws`, `/ndjson` or `/poll`. That of `access`, unless it is set.
   */
  url?: string | URL | undefined;
  /** Opens the streams. With `access`, only the first token. */
  token?: Token | undefined;
  /**
   * Stands for the URL and the token: what `createStream` or `issueToken` returned, or a function
   * that gets it, for example from your backend. The function is called before the first connection
   * and when the token is no longer valid. Its URL counts once.
   */
  access?: TokenAccess | (() => TokenAccess | Promise<TokenAccess>) | undefined;
  /**
   * The event names filter. A `*` at the end of a name stands for any ending. All events, unless it
   * is set.
   */
  events?: readonly string[] | undefined;
  /**
   * The names of events that the broker joins: consecutive ones come as one, with their data
   * joined. Their number is the event's `count`.
   */
  rollup?: string | readonly string[] | undefined;
  /**
   * For data that are JSON: the pointer to the string that is joined, such as `/delta/text`. The
   * first one belongs to the first name of `rollup`, and so on. An empty one stands for all data.
   */
  rollupPath?: string | readonly string[] | undefined;
  /** How long the broker also gathers live events, in milliseconds: 0 to 500. 0. */
  rollupMs?: number | undefined;
  /** The start position in streams that `after` does not name. `start`. */
  from?: From | undefined;
  /** Wait for streams that do not exist yet. */
  wait?: boolean | undefined;
  /** The subscriber's name in the broker's list of clients. */
  clientName?: string | undefined;
  /** Tags by which the broker's list of clients can be filtered. */
  tags?: readonly string[] | undefined;
  /** Aborting it ends the iteration with its reason, and closes the connection at once. */
  signal?: AbortSignal | undefined;
  /** Milliseconds without any activity after which a connection counts as broken. 45,000. */
  silenceMs?: number | undefined;
  /**
   * Milliseconds without an event or a heartbeat after which the subscription fails with
   * `disconnected`. 300,000.
   */
  giveUpAfterMs?: number | undefined;
  /**
   * Called when the state of the connection changes. A connection that the library replaces on
   * purpose, such as the next long poll, is no change.
   */
  onConnection?: ((change: ConnectionChange) => void) | undefined;
  /** Called for each log entry: reconnects and the like. */
  onLog?: OnLog | undefined;
  /**
   * Called each time that the broker accepts a connection.
   *
   * @deprecated Use `onConnection`.
   */
  onConnect?: (() => void) | undefined;
  /**
   * Called when a connection broke or could not be made, and the subscription will try again.
   * `cause` says why.
   *
   * @deprecated Use `onConnection`.
   */
  onReconnect?: ((cause: unknown) => void) | undefined;
  /** Replaces the platform's `fetch`. */
  fetch?: typeof globalThis.fetch | undefined;
  /** Replaces the platform's `WebSocket`, for a `ws_url`. */
  WebSocket?: WebSocketConstructor | undefined;
  /**
   * Put the token of a WebSocket into its URL. Only a WebSocket that ignores headers needs it, such
   * as that of React Native. Those of Node, Deno and Bun take headers. Those of browsers reject
   * them, and the subscription then uses the URL by itself.
   */
  tokenInQuery?: boolean | undefined;
}
