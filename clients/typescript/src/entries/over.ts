import type { Writer } from "../publish/writer.js";

/** The stream of a producer is finished already, so nobody gets what it would still make. */
export class StreamOverError extends Error {
  override readonly name = "StreamOverError";
  readonly code = "stream-over";

  constructor() {
    super("The stream is finished already");
  }
}

/**
 * Calls the function once when nobody gets what the producer would still make: with a
 * `StoppedError` after a stop, with the error of a writer that failed, and with a `StreamOverError`
 * when the stream was finished elsewhere. Returns a function after which it is not called: the
 * writer itself will finish the stream.
 *
 * It opens the connection over which the writer hears signals.
 */
export function whenOver(writer: Writer, over: (reason: unknown) => void): () => void {
  const { signal } = writer;
  let isReleased = false;
  const release = () => {
    isReleased = true;
  };
  const call = (reason: unknown) => {
    if (isReleased) return;
    release();
    over(reason);
  };
  signal.addEventListener("abort", () => call(signal.reason));
  const watch = async () => {
    const signals = writer.signals();
    while (!(await signals.next()).done);
    call(new StreamOverError());
  };
  // A writer that hears no signals goes on, and has logged why.
  watch().catch(() => {});
  return release;
}
