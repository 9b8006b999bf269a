const RESERVED = new Set(["start", "end", "cancel", "fail", "abandon", "error", "missedevents"]);
const MAX_BYTES = 128;

/** The error code and message with which the broker would refuse this event. */
export function reasonToRefuse(
  event: string,
  data: unknown,
): { code: string; message: string } | undefined {
  if (RESERVED.has(event))
    return {
      code: "reserved-event",
      message: `The event name "${event}" is reserved for the broker`,
    };
  const invalid = (message: string) => ({ code: "invalid-event", message });
  if (
    event === "" ||
    /[\p{Cc}\p{Cs}]/u.test(event) ||
    new TextEncoder().encode(event).length > MAX_BYTES
  ) {
    return invalid(`An event name is 1 to ${MAX_BYTES} bytes of UTF-8 without control characters`);
  }
  if (typeof data === "function" || typeof data === "symbol")
    return invalid(`A ${typeof data} is no JSON value`);
  return undefined;
}
