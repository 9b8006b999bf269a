import { ManySubscription, type SubscribeManyOptions } from "./subscribe/many.js";
import { type SubscribeOptions, Subscription } from "./subscribe/subscription.js";
import { transportOf } from "./subscribe/transport.js";
import { connectWebSocket } from "./subscribe/websocket.js";

export { ApiError, RefusedError, SubscribeError } from "./errors.js";
export type { KeyedEvent, Missed, StreamEvent } from "./subscribe/event.js";
export type {
  AddOptions,
  FollowedStatus,
  ManySubscription,
  SubscribeManyOptions,
} from "./subscribe/many.js";
export type { MissedTotal } from "./subscribe/missed.js";
export type { From, Token } from "./subscribe/options.js";
export type {
  CollectOptions,
  SubscribeOptions,
  Subscription,
  TextOptions,
} from "./subscribe/subscription.js";
export type { WebSocketConstructor, WebSocketLike } from "./websocket.js";

/**
 * Follows a stream: all its events in order, each once, however often the connection breaks. The
 * iteration is over after the stream's last event, `end` or `cancel`.
 *
 * The iteration throws an `ApiError` when the broker refuses (the token is no good, the stream is
 * gone), a `SubscribeError` when the broker can't be heard for too long, an event is missing or an
 * operator has disconnected the client, the reason of `signal` when that is aborted, and whatever
 * the token function throws. Throws a `TypeError` at once for a URL that is not one of the broker's
 * for clients to one stream, without a token, or without a WebSocket for a `ws_url`.
 */
export function subscribe(options: SubscribeOptions): Subscription {
  const { url, connect } = transportOf(options);
  if (new Set(url.searchParams.getAll("key")).size > 1) {
    throw new TypeError("The URL names several streams: follow them with subscribeMany");
  }
  return new Subscription(options, url, connect);
}

/**
 * Follows several streams over one connection: all events of each, in its order, each once. Between
 * streams there is no order. The iteration is over after the last event of the last of them; one
 * that is gone is told by a `missedevents` whose `first` is null.
 *
 * It throws what an iteration of `subscribe` does.
 */
export function subscribeMany(options: SubscribeManyOptions): ManySubscription {
  const { url, connect } = transportOf(options);
  return new ManySubscription(options, url, connect, connect === connectWebSocket);
}
