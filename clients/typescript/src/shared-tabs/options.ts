import type { SubscribeOptions } from "../subscribe/subscription.js";

/** Which stream to follow, and with which tabs to share the connection. */
export interface SharedSubscribeOptions extends SubscribeOptions {
  /**
   * The name of the group of tabs that share connections. Only tabs of one origin with the same
   * name, the same stream and the same `events` and `rollup` share. Put the user's id into it,
   * because all tabs of a group receive the same events. It must not be empty.
   */
  shareTabs: string;
  /**
   * Milliseconds without a sign of life of the leading tab after which this tab connects by itself.
   * It may take half of that longer. Soon afterwards, one of the tabs takes over. 10,000.
   */
  tabSilenceMs?: number | undefined;
}
