import { SubscribeError } from "../errors.js";
import type { FinalStatus, StreamEvent } from "./event.js";

/**
 * The error for a caller that needs a complete stream. Undefined unless the stream broke off.
 * `last` is its last event, if the caller has received it.
 */
export function failureError(
  status: FinalStatus | null | undefined,
  last: StreamEvent | undefined,
): SubscribeError | undefined {
  if (status !== "failed" && status !== "abandoned") return undefined;
  const { code, message, reason } = contentOf(last);
  const why = message || code || reason;
  const what = status === "failed" ? "The stream failed" : "The stream was abandoned";
  const sentence = why ? `${what}: ${why}` : what;
  return new SubscribeError(`stream-${status}`, sentence, undefined, last);
}

function contentOf(last: StreamEvent | undefined): Record<string, unknown> {
  try {
    return last?.json<Record<string, unknown> | null>() ?? {};
  } catch {
    // The broker always sends JSON here. The status says enough without it.
    return {};
  }
}
