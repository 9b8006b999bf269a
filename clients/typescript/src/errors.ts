import type { StreamEvent } from "./subscribe/event.js";

/** The content of a response with an error status. */
export interface ApiErrorDetails {
  /** The HTTP status. */
  status: number;
  /**
   * The broker's error code, listed in `docs/reference/errors.md`. `unexpected-answer` when the
   * response did not come from the broker.
   */
  code: string;
  /** One sentence for a person. */
  message: string;
  /** Seconds to wait before another attempt, if the response says so. */
  retryAfter?: number | undefined;
  /** The status of the stream, when the request needs an active one and this one is finished. */
  streamStatus?: string | undefined;
}

/** The broker answered with an error. */
export class ApiError extends Error implements ApiErrorDetails {
  override readonly name = "ApiError";
  /** The HTTP status. */
  readonly status: number;
  /**
   * The broker's error code, listed in `docs/reference/errors.md`. `unexpected-answer` when the
   * response did not come from the broker.
   */
  readonly code: string;
  /** Seconds to wait before another attempt, if the response says so. */
  readonly retryAfter: number | undefined;
  /**
   * The status of the stream, when the request needs an active one and this one is finished.
   * Undefined when there is no stream, and from older brokers.
   */
  readonly streamStatus: string | undefined;

  constructor(details: ApiErrorDetails) {
    super(details.message);
    this.status = details.status;
    this.code = details.code;
    this.retryAfter = details.retryAfter;
    this.streamStatus = details.streamStatus;
  }
}

/**
 * The broker could not be reached, or its response broke off. `cause` says why. The broker may have
 * executed the request.
 */
export class UnreachableError extends Error {
  override readonly name = "UnreachableError";
  readonly code = "unreachable";

  constructor(cause: unknown) {
    super(
      `The broker can't be reached: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        cause,
      },
    );
  }
}

/** A writer refused an event, or failed. */
export class PublishError extends Error {
  override readonly name: string = "PublishError";
  /**
   * `invalid-event` and `reserved-event`: the writer refused this event before sending it, and goes
   * on. `writer-closed`: the writer was finished, cancelled, failed or closed before. `stopped`: it
   * is a `StoppedError`. Any other code: the writer has failed, by an error of the broker or as
   * `unreachable`.
   */
  readonly code: string;
  /** How many events of this writer the broker had acknowledged. */
  readonly acknowledged: number;
  /** The status of the stream, when the writer failed because somebody else has finished it. */
  readonly streamStatus: string | undefined;

  constructor(code: string, message: string, acknowledged: number, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.acknowledged = acknowledged;
    this.streamStatus = (cause as { streamStatus?: string } | undefined)?.streamStatus;
  }
}

/**
 * The producer was asked to stop, or somebody else has cancelled the stream. Its code is `stopped`.
 * Its name is that of the platform's abort errors, so that `fetch` and other code take it for one.
 */
export class StoppedError extends PublishError {
  override readonly name: string = "AbortError";
  /** Who asked for it: the subject of a token, or `api-key`. Null when that is not known. */
  readonly by: string | null;

  constructor(by: string | null, acknowledged: number, cause?: unknown) {
    const what =
      cause === undefined ? "The producer was asked to stop" : "The stream was cancelled";
    super("stopped", by === null ? what : `${what} by ${by}`, acknowledged, cause);
    this.by = by;
  }
}

/**
 * A subscription can't go on.
 *
 * * `disconnected`: nothing was received from the broker for too long. `cause` is the last error.
 * * `gap`: an event does not follow the one before. This is a defect of something between the
 *   broker and here.
 * * `disconnected-by-operator`: an operator has disconnected this subscriber on purpose.
 * * `missed`: events are no longer stored, and the caller needs all of them.
 * * `stream-failed` and `stream-abandoned`: the stream's producer failed or went silent, and the
 *   caller needs a complete stream. `lastEvent` says why.
 */
export class SubscribeError extends Error {
  override readonly name = "SubscribeError";
  readonly code:
    | "disconnected"
    | "gap"
    | "disconnected-by-operator"
    | "missed"
    | "stream-failed"
    | "stream-abandoned";
  /** The event `fail` or `abandon`, if the code is about it and the caller has received it. */
  readonly lastEvent: StreamEvent | undefined;

  constructor(
    code: SubscribeError["code"],
    message: string,
    cause?: unknown,
    lastEvent?: StreamEvent,
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.lastEvent = lastEvent;
  }
}

/**
 * A stream was not added to a subscription, or not dropped from it. The subscription goes on
 * without the change.
 */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
  /** The key of the stream. */
  readonly key: string;
  /**
   * The broker's error code, listed in `docs/guides/many-streams.md`. `subscription-over` when the
   * subscription was over.
   */
  readonly code: string;

  constructor(key: string, code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.key = key;
    this.code = code;
  }
}
