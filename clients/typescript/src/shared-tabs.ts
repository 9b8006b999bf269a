import type { SharedSubscribeOptions } from "./shared-tabs/options.js";
import { SharedSubscription } from "./shared-tabs/subscription.js";
import type { Subscription } from "./subscribe/subscription.js";

export type { SharedSubscribeOptions } from "./shared-tabs/options.js";
export type { Subscription } from "./subscribe/subscription.js";

/**
 * Follows a stream as `subscribe` does, and shares the connection with the other tabs of the
 * browser that follow the stream with the same `shareTabs`. One tab leads: it has the connection,
 * and sends the events to the others. When it closes, crashes or freezes, another tab takes over.
 *
 * Each tab gets every event once and in order, from its own start position. To that end a tab has a
 * connection of its own when it starts, when its reader is slow, and after a hole.
 *
 * It throws the same errors as `subscribe`, and a `TypeError` when `shareTabs` is empty. Where the
 * platform has no Web Locks or no BroadcastChannel, each tab follows the stream by itself.
 */
export function subscribeShared(options: SharedSubscribeOptions): Subscription {
  return new SharedSubscription(options);
}
