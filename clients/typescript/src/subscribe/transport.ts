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
 * The URL, and the transport that its path names. Throws a `TypeError` for a URL that is not one of
 * the broker's for clients, or without a WebSocket for a `ws_url`, and when there is no URL or no
 * token.
 */
export function transportOf({ url: given, token, WebSocket }: FollowOptions): {
  url: URL;
  connect: Connect;
} {
  if (!given) {
    throw new TypeError(
      "The URL is missing: set `url` to the sse_url or ws_url that the broker answered",
    );
  }
  // A relative URL is good where there is a page that it is relative to.
  const url = new URL(given, (globalThis as { location?: Location }).location?.href);
  if (!token) {
    throw new TypeError(
      "The token is missing: set `token` to a token of the broker, or to a function that gets one",
    );
  }
  const connect = TRANSPORTS.get(url.pathname.replace(/.*\//, ""));
  if (!connect)
    throw new TypeError(`No URL for clients, of /sse, /ws, /ndjson or /poll: ${url.pathname}`);
  if (connect === connectWebSocket) webSocketClass(WebSocket);
  return { url, connect };
}
