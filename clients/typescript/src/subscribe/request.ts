import type { FollowOptions, From } from "./options.js";

/** What a connection requests from the broker. */
export interface SubscribeRequest {
  url: URL;
  /** The id or the cursor to continue after. */
  after: string | undefined;
  /**
   * Whether the first response matters more than events, so that the broker must not hold it back.
   * This applies to polls.
   */
  respondAtOnce: boolean;
}

/** Whether a stream that starts there starts with its first event. */
export function isStart(from: From | undefined): boolean {
  return from === undefined || from === "start";
}

/** The URL with the parameters that are the same for each connection. */
export function withParameters(
  url: URL,
  { events, rollup, rollupPath, rollupMs, from, wait, clientName, tags }: FollowOptions,
): URL {
  const parameters = {
    events: events?.join(","),
    from: from === undefined ? undefined : fromText(from),
    wait: wait ? "true" : undefined,
    client_name: clientName,
    tags: tags?.join(","),
    rollup,
    rollup_path: rollupPath,
    rollup_ms: rollupMs,
  };
  const whole = new URL(url);
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined) continue;
    whole.searchParams.delete(name);
    for (const item of [value].flat()) whole.searchParams.append(name, String(item));
  }
  return whole;
}

/** A start position as text for the broker. */
export function fromText(from: From): string {
  return typeof from === "string" ? from : from.toISOString();
}
