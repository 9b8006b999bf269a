/**
 * A run can't be written or read.
 *
 * * `invalid-run-id`: the request names no run, or its id is too long or has control characters.
 * * `invalid-offset`: the offset is not one of this package.
 * * `run-exists`: a run with this id was started before, or is over and can't be continued.
 * * `run-not-found`: there is no run with this id, or its log has expired.
 */
export class RunError extends Error {
  override readonly name = "RunError";
  readonly code: "invalid-run-id" | "invalid-offset" | "run-exists" | "run-not-found";

  constructor(code: RunError["code"], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
