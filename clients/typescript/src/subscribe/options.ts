import type { WebSocketConstructor } from "../websocket.js";

/**
 * A token, or a function that makes one: it is asked before the first connection, and when a token
 * is no longer good.
 */
export type Token = string | (() => string | Promise<string>);

/**
 * Where to begin in a stream: `start`, `now`, `-N` (with its last N events), or a time (RFC 3339,
 * or a `Date`).
 */
export type From = string | Date;

/** How to follow, whatever is followed. */
export interface FollowOptions {
  /**
   * One of the broker's URLs for clients; the end of its path says which transport it is: `/sse`,
   * `/ws`, `/ndjson` or `/poll`.
   */
  url: string | URL;
  /** What opens the streams. */
  token: Token;
  /**
   * The names of the events that are wanted; a `*` at the end of one stands for any ending. All,
   * unless it is given.
   */
  events?: readonly string[] | undefined;
  /** Where to begin in streams that `after` does not name. `start`. */
  from?: From | undefined;
  /** Wait for streams that do not exist yet. */
  wait?: boolean | undefined;
  /** What the client is called where the broker lists its clients. */
  clientName?: string | undefined;
  /** What the broker's clients can be picked by. */
  tags?: readonly string[] | undefined;
  /** Aborting it ends the iteration with its reason, and closes the connection at once. */
  signal?: AbortSignal | undefined;
  /** Milliseconds without a sign of life after which a connection counts as broken. 45,000. */
  silenceMs?: number | undefined;
  /**
   * Milliseconds without an event or a heartbeat after which the subscription fails with
   * `disconnected`. 300,000.
   */
  giveUpAfterMs?: number | undefined;
  /** Called each time that the broker accepts a connection. */
  onConnect?: (() => void) | undefined;
  /**
   * Called when a connection broke or could not be made, and another will be tried. `cause` says
   * why.
   */
  onReconnect?: ((cause: unknown) => void) | undefined;
  /** Instead of the platform's `fetch`. */
  fetch?: typeof globalThis.fetch | undefined;
  /** Instead of the platform's `WebSocket`, for a `ws_url`. */
  WebSocket?: WebSocketConstructor | undefined;
  /**
   * Put the token of a WebSocket into its URL. Not needed where a WebSocket takes headers (Node,
   * Deno, Bun) or refuses them (browsers), only where it ignores them (React Native).
   */
  tokenInQuery?: boolean | undefined;
}

/** Whether a stream that begins there begins with its first event. */
export function isStart(from: From | undefined): boolean {
  return from === undefined || from === "start";
}

/** The URL with the parameters that are the same for each connection. */
export function withParameters(
  url: URL,
  { events, from, wait, clientName, tags }: FollowOptions,
): URL {
  const parameters = {
    events: events?.join(","),
    from: from === undefined ? undefined : textOf(from),
    wait: wait ? "true" : undefined,
    client_name: clientName,
    tags: tags?.join(","),
  };
  const whole = new URL(url);
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) whole.searchParams.set(name, value);
  }
  return whole;
}

/** As the broker takes it. */
export function textOf(from: From): string {
  return typeof from === "string" ? from : from.toISOString();
}
