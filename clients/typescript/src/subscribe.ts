import { connectSse } from "./subscribe/sse.js";
import { type SubscribeOptions, Subscription } from "./subscribe/subscription.js";
import { connectWebSocket } from "./subscribe/websocket.js";
import { webSocketClass } from "./websocket.js";

export { ApiError, SubscribeError } from "./errors.js";
export type { Missed, StreamEvent } from "./subscribe/event.js";
export type { SubscribeOptions, Subscription, Token } from "./subscribe/subscription.js";
export type { WebSocketConstructor, WebSocketLike } from "./websocket.js";

/**
 * Follows a stream: all its events in order, each once, however often the connection breaks. The iteration is over after the
 * stream's last event, `end` or `cancel`.
 *
 * The iteration throws an `ApiError` when the broker refuses (the token is no good, the stream is gone), a `SubscribeError` when the
 * broker can't be heard for too long or an event is missing, the reason of `signal` when that is aborted, and whatever the token
 * function throws. Throws a `TypeError` at once for a URL that is not one of the broker's, or without a WebSocket for a `ws_url`.
 */
export function subscribe(options: SubscribeOptions): Subscription {
  // A relative URL is good where there is a page that it is relative to.
  const url = new URL(options.url, (globalThis as { location?: Location }).location?.href);
  if (url.pathname.endsWith("/sse")) return new Subscription(options, url, connectSse);
  if (!url.pathname.endsWith("/ws")) throw new TypeError(`Neither an sse_url nor a ws_url: ${url.pathname}`);
  webSocketClass(options.WebSocket);
  return new Subscription(options, url, connectWebSocket);
}
