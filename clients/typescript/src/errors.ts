/** What is known of an answer with an error status. */
export interface ApiErrorDetails {
  /** The HTTP status. */
  status: number;
  /**
   * The broker's word for the error (`docs/errors.md` lists them), or `unexpected-answer` when it
   * was not the broker that answered.
   */
  code: string;
  /** One sentence for a person. */
  message: string;
  /** Seconds to wait before another attempt, where the answer told it. */
  retryAfter?: number | undefined;
}

/** The broker answered with an error. */
export class ApiError extends Error implements ApiErrorDetails {
  override readonly name = "ApiError";
  /** The HTTP status. */
  readonly status: number;
  /**
   * The broker's word for the error (`docs/errors.md` lists them), or `unexpected-answer` when it
   * was not the broker that answered.
   */
  readonly code: string;
  /** Seconds to wait before another attempt, where the answer told it. */
  readonly retryAfter: number | undefined;

  constructor(details: ApiErrorDetails) {
    super(details.message);
    this.status = details.status;
    this.code = details.code;
    this.retryAfter = details.retryAfter;
  }
}

/**
 * The broker could not be reached, or its answer broke off; `cause` says why. Whether it did what
 * was asked is not known.
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
  override readonly name = "PublishError";
  /**
   * `invalid-event` and `reserved-event`: this event was refused before it was sent, and the writer
   * goes on. `writer-closed`: the writer was finished, cancelled or closed before. Else the writer
   * has failed: the broker's word, or `unreachable`.
   */
  readonly code: string;
  /** How many events of this writer the broker had confirmed. */
  readonly acknowledged: number;

  constructor(code: string, message: string, acknowledged: number, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.acknowledged = acknowledged;
  }
}

/**
 * A subscription can't go on. `disconnected`: nothing was heard of the broker for too long; `cause`
 * is what went wrong last. `gap`: an event is not the one that had to follow, a defect of something
 * between the broker and here. `disconnected-by-operator`: somebody has disconnected this client on
 * purpose. `missed`: events are no longer stored, and the caller needs all of them.
 */
export class SubscribeError extends Error {
  override readonly name = "SubscribeError";
  readonly code: "disconnected" | "gap" | "disconnected-by-operator" | "missed";

  constructor(code: SubscribeError["code"], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/**
 * A stream was not added to a running subscription, or not dropped from it. The subscription goes
 * on without the change.
 */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
  /** The key of the stream. */
  readonly key: string;
  /**
   * The broker's word (`docs/following.md` lists them), or `subscription-over` when there is nobody
   * to ask any more.
   */
  readonly code: string;

  constructor(key: string, code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.key = key;
    this.code = code;
  }
}
