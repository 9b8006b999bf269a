import { type WebSocketConstructor, webSocketClass } from "../websocket.js";
import type { Connect } from "./connection.js";
import { connectNdjson } from "./ndjson.js";
import { connectPoll } from "./poll.js";
import { connectSse } from "./sse.js";
import { connectWebSocket } from "./websocket.js";

const TRANSPORTS: ReadonlyMap<string, Connect> = new Map([
  ["sse", connectSse],
  ["ws", connectWebSocket],
  ["ndjson", connectNdjson],
  ["poll", connectPoll],
]);

/** Where to subscribe, and how. */
export interface Endpoint {
  url: URL;
  connect: Connect;
  overWebSocket: boolean;
}

/**
 * The URL, and the transport that its path names. Throws a `TypeError` when the URL is missing,
 * when it is not one of the broker's for subscribers, and when a `ws_url` finds no WebSocket.
 */
export function endpointOf(
  given: string | URL | undefined,
  WebSocket: WebSocketConstructor | undefined,
): Endpoint {
  if (!given) {
    throw new TypeError("The URL is missing: set `url` to the broker's sse_url or ws_url");
  }
  // A browser resolves a relative URL against its page.
  const url = new URL(given, (globalThis as { location?: Location }).location?.href);
  const connect = TRANSPORTS.get(url.pathname.replace(/.*\//, ""));
  if (!connect)
    throw new TypeError(
      `Not a URL for subscribers, of /sse, /ws, /ndjson or /poll: ${url.pathname}`,
    );
  const overWebSocket = connect === connectWebSocket;
  if (overWebSocket) webSocketClass(WebSocket);
  return { url, connect, overWebSocket };
}
