import { ApiError } from "../errors.js";
import type { Retry } from "./retry.js";
import { FINAL_STATUS, type FinishDetails, type Target } from "./target.js";

/** How a stream is finished. */
export interface Finishing {
  how: keyof typeof FINAL_STATUS;
  details: FinishDetails;
  /** Whether to try again. */
  persistent: boolean;
}

/**
 * Finishes a stream. To cancel or fail a stream that is finished already is a success. To end one
 * is not: its last events may be missing. Throws the error of the last attempt.
 */
export async function finishStream(
  target: Target,
  retry: Retry,
  { how, details, persistent }: Finishing,
): Promise<void> {
  const { signal } = new AbortController();
  retry.reset();
  for (let isFirst = true; ; isFirst = false) {
    try {
      return await target.finish(how, details, retry.timeout());
    } catch (error) {
      if (isFinished(error)) {
        // An earlier attempt, whose response was lost, may have finished the stream.
        const mayBeOurs = how !== "end" || !isFirst;
        const status = mayBeOurs && (error.streamStatus ?? (await statusOf(target, retry)));
        if (status && (how === "end" ? status === FINAL_STATUS.end : status !== "active")) return;
      }
      if (!persistent) throw error;
      await retry.pause(error, signal);
    }
  }
}

/** Whether a request failed because the stream is finished, or because there is none. */
function isFinished(error: unknown): error is ApiError {
  return error instanceof ApiError && error.code === "no-active-stream";
}

/** Whether a request or an event failed because somebody has cancelled the stream. */
export function isCancelled(error: unknown): boolean {
  const { code, streamStatus } = (error ?? {}) as { code?: unknown; streamStatus?: unknown };
  return code === "no-active-stream" && streamStatus === FINAL_STATUS.cancel;
}

/** The status of the stream, which an older broker does not send with its error. */
function statusOf(target: Target, retry: Retry): Promise<string | undefined> {
  // Without a status the caller receives the broker's first error.
  return target.status(retry.timeout()).catch(() => undefined);
}
