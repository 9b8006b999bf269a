// For backends.

import { RUN_CANCEL_REASON, resolveResumeRunId, type StreamDurability } from "@tanstack/ai";
import { requestStop } from "./entries/stop.js";
import { StoppedError } from "./errors.js";
import { RunError } from "./tanstack-ai/errors.js";
import type { BrokerOffset } from "./tanstack-ai/offset.js";
import { type BrokerStreamOptions, withDefaults } from "./tanstack-ai/options.js";
import { type RunLog, RunProducer } from "./tanstack-ai/producer.js";
import { readRun, snapshotOf } from "./tanstack-ai/read.js";

export { EntryError } from "./entries/errors.js";
export { StreamOverError } from "./entries/over.js";
export { ApiError, PublishError, StoppedError, SubscribeError } from "./errors.js";
export { RunError } from "./tanstack-ai/errors.js";
export type { BrokerOffset } from "./tanstack-ai/offset.js";
export type { BrokerStreamOptions } from "./tanstack-ai/options.js";

/** The run of a caller that has no request. */
export interface BrokerStreamInit {
  /** The id of the run. */
  runId: string;
  /** Where to continue to read: what `resumeFrom` returns. Null for a producer. */
  offset?: string | null | undefined;
}

/** The log of a run on the broker, for `durability` of TanStack AI's response helpers. */
export interface BrokerStream extends StreamDurability<BrokerOffset> {
  /** The id of the run. */
  readonly runId: string;
  /**
   * Give it to `chat` and to the response helper. Aborted with `RUN_CANCEL_REASON` when somebody
   * asks the run to stop, and with an error when the broker takes no more of it. Only a producer
   * hears of that, from its first `append` on.
   */
  readonly abortController: AbortController;
  /**
   * Asks the producer of this run to stop, also on another node. It is a success when the run
   * is over, or is not known. Throws the broker's `ApiError`, or an `UnreachableError`.
   */
  requestStop(): Promise<void>;
}

/**
 * The log of a run of TanStack AI on the broker: the replacement of `memoryStream`. Any node serves
 * any reader, and a run survives reloads and the process that reads it.
 *
 * With a `Request`, the run is that of the header `X-Run-Id` or the parameter `runId`, and a run
 * that exists is never written again. With `{ runId }`, a producer continues an active run: append
 * only what `snapshot` does not have.
 *
 * Throws a `RunError` `invalid-run-id`. Its methods throw `RunError`, `PublishError`,
 * `SubscribeError`, `ApiError` and `UnreachableError`.
 */
export function brokerStream(
  source: Request | BrokerStreamInit,
  options: BrokerStreamOptions,
): BrokerStream {
  const isRequest = source instanceof Request;
  const runId = isRequest ? resolveResumeRunId(source) : source.runId;
  const offset = isRequest ? offsetIn(source) : (source.offset ?? null);
  const log = logOf(runId, options);
  const abortController = new AbortController();
  const producer = new RunProducer(log, !isRequest, (reason) => {
    abortController.abort(reason instanceof StoppedError ? RUN_CANCEL_REASON : reason);
  });
  return {
    runId: log.runId,
    abortController,
    resumeFrom: () => offset as BrokerOffset | null,
    append: (chunks) => producer.append(chunks),
    read: (offset, signal = new AbortController().signal) => readRun(log, offset, signal),
    close: () => producer.close(),
    snapshot: () => snapshotOf(log),
    requestStop: () => requestStop(log.options.client, log.key),
  };
}

function logOf(runId: string | null, options: BrokerStreamOptions): RunLog {
  if (!runId)
    throw new RunError(
      "invalid-run-id",
      "The request names no run: send its id as the header X-Run-Id or the parameter runId",
    );
  const withOptions = withDefaults(options);
  const key = `${withOptions.keyPrefix}:${runId}`;
  if (/\p{Cc}/u.test(key) || new TextEncoder().encode(key).length > 256)
    throw new RunError(
      "invalid-run-id",
      "The id of the run is too long, or has control characters",
    );
  return { runId, key, options: withOptions };
}

/** Where the request continues, as TanStack AI's own stores read it. */
function offsetIn(request: Request): string | null {
  return request.headers.get("Last-Event-ID") || new URL(request.url).searchParams.get("offset");
}
