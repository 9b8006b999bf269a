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
 * The URL, and the transport that its path names. Throws a `TypeError` for a URL that is not one of the broker's for clients, or without
 * a WebSocket for a `ws_url`.
 */
export function transportOf({ url: given, WebSocket }: FollowOptions): { url: URL; connect: Connect } {
  // A relative URL is good where there is a page that it is relative to.
  const url = new URL(given, (globalThis as { location?: Location }).location?.href);
  const connect = TRANSPORTS.get(url.pathname.replace(/.*\//, ""));
  if (!connect) throw new TypeError(`No URL for clients, of /sse, /ws, /ndjson or /poll: ${url.pathname}`);
  if (connect === connectWebSocket) webSocketClass(WebSocket);
  return { url, connect };
}
