import type { PublishError, StoppedError } from "../errors.js";
import type { Log } from "../log.js";
import type { Cancellation } from "./options.js";

/** Whether the producer was asked to stop, or the writer has failed. */
export class StopState {
  readonly #log: Log;
  readonly #halt = new AbortController();
  #heard: StoppedError | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /** The first stop. Undefined while there is none. */
  get heard(): StoppedError | undefined {
    return this.#heard;
  }

  /** Aborted at a stop, and when the writer fails. */
  get signal(): AbortSignal {
    return this.#halt.signal;
  }

  /** How a stream is cancelled after the stop. Nothing while there is none. */
  get details(): Cancellation {
    return this.#heard ? { reason: "stop", by: this.#heard.by ?? undefined } : {};
  }

  /** Records a stop. */
  hear(stop: StoppedError): void {
    this.#log("info", "A producer is asked to stop");
    this.#heard = stop;
    this.#halt.abort(stop);
  }

  /** The writer has failed. */
  fail(failure: PublishError): void {
    this.#halt.abort(failure);
  }

  /**
   * Calls the function at a stop, unless stops are ignored, and when the writer fails. Returns a
   * function that removes it.
   */
  onInterrupt(ignoresStop: boolean, interrupted: (reason: unknown) => void): () => void {
    const { signal } = this.#halt;
    const listen = () => {
      if (!ignoresStop || signal.reason !== this.#heard) interrupted(signal.reason);
    };
    signal.addEventListener("abort", listen);
    if (signal.aborted) listen();
    return () => signal.removeEventListener("abort", listen);
  }
}
