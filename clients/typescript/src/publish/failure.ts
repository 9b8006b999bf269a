import type { Log } from "../log.js";
import type { Failure } from "./options.js";

/** Whether the error says that `fetch` or other code was aborted. */
export function isInterrupt(error: unknown): boolean {
  // By its name, because classes differ between realms.
  return (error as { name?: unknown } | null | undefined)?.name === "AbortError";
}

/** What subscribers receive about an error that left the producer. It has no text of the error. */
export function defaultFailure(error: unknown): Failure {
  return isInterrupt(error)
    ? { code: "interrupted", message: "The producer was interrupted" }
    : { code: "error", message: "The producer failed" };
}

/** What the option `failure` says about the error. Undefined when it says nothing. */
export function ownFailure(
  failure: ((error: unknown) => Failure) | undefined,
  error: unknown,
  log: Log,
): Failure | undefined {
  try {
    return failure?.(error);
  } catch (error) {
    log("warn", "The option `failure` threw an error", error);
    return undefined;
  }
}
