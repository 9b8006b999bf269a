import { webSocketClass } from "../websocket.js";
import type { Connect } from "./connection.js";
import { connectNdjson } from "./ndjson.js";
import type { FollowOptions } from "./options.js";
import { connectPoll } from "./poll.js";
import { connectSse } from "./sse.js";
import { connectWebSocket } from "./websocket.js";

const TRANSPORTS: ReadonlyMap<string, Connect> = new Map([
  ["sse", connectSse],
  ["ws", connectWebSocket],
  ["ndjson", connectNdjson],
  ["poll", connectPoll],
]);

/**
 * The URL, and the transport that its path names. Throws a `TypeError` when the URL or the token is
 * missing, when the URL is not one of the broker's for subscribers, and when a `ws_url` finds no
 * WebSocket.
 */
export function transportOf({ url: given, token, WebSocket }: FollowOptions): {
  url: URL;
  connect: Connect;
} {
  if (!given) {
    throw new TypeError("The URL is missing: set `url` to the broker's sse_url or ws_url");
  }
  // A browser resolves a relative URL against its page.
  const url = new URL(given, (globalThis as { location?: Location }).location?.href);
  if (!token) {
    throw new TypeError(
      "The token is missing: set `token` to a token of the broker, or to a function that gets one",
    );
  }
  const connect = TRANSPORTS.get(url.pathname.replace(/.*\//, ""));
  if (!connect)
    throw new TypeError(
      `Not a URL for subscribers, of /sse, /ws, /ndjson or /poll: ${url.pathname}`,
    );
  if (connect === connectWebSocket) webSocketClass(WebSocket);
  return { url, connect };
}
