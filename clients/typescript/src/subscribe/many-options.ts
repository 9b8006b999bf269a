import type { FinalStatus } from "./event.js";
import type { FollowOptions, From } from "./options.js";

/** Which streams to follow, and how. */
export interface SubscribeManyOptions extends FollowOptions {
  /** The keys of the streams. Those that the URL names, unless it is set. */
  keys?: readonly string[] | undefined;
  /**
   * Where to continue: a cursor, or ids by key. Streams that it does not name start where `from`
   * says.
   */
  after?: string | Readonly<Record<string, string>> | null | undefined;
}

/** Where to start in a stream that is added. */
export interface AddOptions {
  /** Continue after this id, instead of starting where `from` says. */
  after?: string | null | undefined;
  /** The start position. That of the subscription, unless it is set. */
  from?: From | undefined;
  /** Wait for the stream if it does not exist yet. As the subscription does, unless it is set. */
  wait?: boolean | undefined;
}

/**
 * The status of a stream. `gone`: it was deleted, and its last event did not come. Null: it is
 * finished, and nothing followed the id that the subscription continued after.
 */
export type FollowedStatus = "active" | FinalStatus | "gone" | null;
