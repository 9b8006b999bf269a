import { SubscribeError } from "../errors.js";
import type { FinalStatus, StreamEvent } from "./event.js";
import { reasonOf } from "./reason.js";

/**
 * The error for a caller that needs a complete stream. Undefined unless the stream broke off.
 * `last` is its last event, if the caller has received it.
 */
export function failureError(
  status: FinalStatus | null | undefined,
  last: StreamEvent | undefined,
): SubscribeError | undefined {
  if (status !== "failed" && status !== "abandoned") return undefined;
  const { code, message, reason } = reasonOf(last?.data) ?? {};
  const why = message || code || reason;
  const what = status === "failed" ? "The stream failed" : "The stream was abandoned";
  const sentence = why ? `${what}: ${why}` : what;
  return new SubscribeError(`stream-${status}`, sentence, undefined, last);
}
