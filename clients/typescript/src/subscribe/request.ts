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
  { events, from, wait, clientName, tags }: FollowOptions,
): URL {
  const parameters = {
    events: events?.join(","),
    from: from === undefined ? undefined : fromText(from),
    wait: wait ? "true" : undefined,
    client_name: clientName,
    tags: tags?.join(","),
  };
  const whole = new URL(url);
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) whole.searchParams.set(name, value);
  }
  return whole;
}

/** A start position as text for the broker. */
export function fromText(from: From): string {
  return typeof from === "string" ? from : from.toISOString();
}
