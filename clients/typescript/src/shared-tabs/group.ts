import type { FollowOptions } from "../subscribe/options.js";
import { withParameters } from "../subscribe/request.js";
import { withScheme } from "../websocket.js";

/** Tabs with another version of the messages are in another group. */
const VERSION = 1;
/** The parameters that decide which events a subscriber receives, after its start position. */
const PARAMETERS = ["key", "events", "rollup", "rollup_path", "rollup_ms"];

/**
 * The name of the group of tabs that can share a connection: those with the same `shareTabs` that
 * receive the same events, over any transport. It contains no token.
 */
export function groupName(url: URL, shareTabs: string, options: FollowOptions): string {
  const { origin, pathname, searchParams } = withParameters(withScheme(url, "http"), options);
  const parameters = PARAMETERS.map((name) => searchParams.getAll(name));
  const path = pathname.replace(/[^/]*$/, "");
  return `tinistreamer ${VERSION} ${JSON.stringify([shareTabs, origin, path, ...parameters])}`;
}
