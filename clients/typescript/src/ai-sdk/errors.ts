/**
 * Something of a chat can't go on.
 *
 * * `unexpected-answer`: the backend answered with something else than `{ sse_url, token }`.
 * * `timeout`: the backend did not answer in time.
 * * `answer-gone`: the stream of the answer no longer exists, or another one has its key.
 * * `answer-over`: the stream was finished elsewhere while the answer was written, for example
 *   because the model was silent for longer than `stall`.
 * * `invalid-chunk`: the stream holds something that is no chunk of a UI message stream.
 * * `chunk-too-large`: a chunk of a message has more than 16 Mi characters.
 * * `save-timeout`: `onFinish` took longer than a minute.
 */
export class ChatError extends Error {
  override readonly name = "ChatError";
  readonly code:
    | "unexpected-answer"
    | "timeout"
    | "answer-gone"
    | "answer-over"
    | "invalid-chunk"
    | "chunk-too-large"
    | "save-timeout";

  constructor(code: ChatError["code"], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
