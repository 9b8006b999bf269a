import { Credentials } from "./subscribe/credentials.js";
import type { SubscribeManyOptions } from "./subscribe/many-options.js";
import { ManySubscription } from "./subscribe/many-subscription.js";
import { type SubscribeOptions, Subscription } from "./subscribe/subscription.js";

export { ApiError, RefusedError, SubscribeError, UnreachableError } from "./errors.js";
export type { LogEntry, OnLog } from "./log.js";
export type { ConnectionChange } from "./subscribe/connection-reporter.js";
export type { FinalStatus, KeyedEvent, Missed, StreamEvent } from "./subscribe/event.js";
export type {
  AddOptions,
  FollowedStatus,
  SubscribeManyOptions,
} from "./subscribe/many-options.js";
export type { ManySubscription } from "./subscribe/many-subscription.js";
export type { MissedTotal } from "./subscribe/missed.js";
export type { From, Token, TokenAccess } from "./subscribe/options.js";
export type { StreamReason } from "./subscribe/reason.js";
export type {
  CollectOptions,
  SubscribeOptions,
  Subscription,
  TextOptions,
} from "./subscribe/subscription.js";
export type { WebSocketConstructor, WebSocketLike } from "./websocket.js";

/**
 * Follows a stream: delivers all its events in order, each once, even if the connection breaks. The
 * iteration is over after the stream's last event: `end`, `cancel`, `fail` or `abandon`.
 *
 * The iteration throws:
 *
 * * an `ApiError` when the broker refuses, for example when the token is invalid or the stream was
 *   deleted;
 * * a `SubscribeError` when nothing was received from the broker for too long, when an event is
 *   missing, or when an operator has disconnected the subscriber;
 * * the reason of `signal` when it is aborted;
 * * the errors of the functions `token` and `access`.
 *
 * The call itself throws a `TypeError` when the URL is not one of the broker's for a subscriber of
 * one stream, when there is no token, and when a `ws_url` finds no WebSocket. If a function gets
 * the URL, the iteration throws it.
 */
export function subscribe(options: SubscribeOptions): Subscription {
  return new Subscription(options, new Credentials(options));
}

/**
 * Follows several streams over one connection: delivers all events of each in order, each once.
 * Between streams there is no order. The iteration is over after the last event of the last stream.
 * A stream that was deleted delivers a `missedevents` whose `first` is null.
 *
 * It throws the same errors as `subscribe`.
 */
export function subscribeMany(options: SubscribeManyOptions): ManySubscription {
  return new ManySubscription(options, new Credentials(options));
}
