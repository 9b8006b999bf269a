import type { Api } from "../api.js";
import { asyncDispose } from "../dispose.js";
import { PublishError, StoppedError } from "../errors.js";
import type { SignalRecord } from "../generated/openapi.js";
import { randomName } from "../random.js";
import { settledWithin } from "../timeout.js";
import { defaultFailure, isInterrupt, ownFailure } from "./failure.js";
import { finishStream, isCancelled } from "./finishing.js";
import { Hearing } from "./hearing.js";
import { Lease } from "./lease.js";
import { reasonToRefuse } from "./names.js";
import {
  type Cancellation,
  type Failure,
  type PublishOptions,
  type WriterOptions,
  withDefaults,
} from "./options.js";
import { pipe, type Source } from "./pipe.js";
import { Sender } from "./sender.js";
import { StopState } from "./stop.js";
import { type FinishDetails, Target } from "./target.js";

/** How the caller ended its writer. */
type WriterEnd = "finish" | "cancel" | "fail" | "close";

/** Writes events into one active stream: in order, each once, even if the connection breaks. */
export class Writer implements AsyncDisposable {
  readonly #api: Api;
  readonly #options: WriterOptions;
  readonly #target: Target;
  readonly #sender: Sender;
  readonly #lease: Lease;
  readonly #hearing: Hearing;
  readonly #stop: StopState;
  /** The look at the signals that says who asked for a stop. */
  #look: Promise<void> | undefined;
  #ending: { how: WriterEnd; done: Promise<void> } | undefined;
  /** Whether the end of a function ends the writer. */
  #inBlock = false;

  /** For `Client.publish`. */
  constructor(api: Api, key: string, options: PublishOptions) {
    const { generation, WebSocket } = options;
    this.#api = api;
    this.#options = withDefaults(options);
    this.#target = new Target(api, key, generation);
    const destination = { api, key, producer: randomName(), generation, WebSocket };
    this.#sender = new Sender(destination, this.#options, {
      explain: (error) => this.#explain(error),
      failed: (failure) => this.#halted(failure),
    });
    this.#stop = new StopState(api.log);
    const stopped = (by: string | null) => this.#stopped(by);
    this.#hearing = new Hearing(this.#target, { stopped, cancelled: () => stopped(null) }, api.log);
    const { lease } = this.#options;
    const cancelled = (error: unknown) => void this.#learnStop(error);
    const stopRequested = () => void this.#learnStop(undefined);
    this.#lease = new Lease(this.#target, lease, { stopRequested, cancelled }, api.log);
  }

  /** How many events the broker has acknowledged. */
  get acknowledged(): number {
    return this.#sender.acknowledged;
  }

  /** How many events are written and not acknowledged. */
  get pending(): number {
    return this.#sender.pending;
  }

  /**
   * Aborted with a `StoppedError` when the producer is asked to stop, or the stream is cancelled
   * elsewhere. Aborted with the writer's error when the writer fails.
   *
   * The first use of this or of `signals` opens a connection. It is closed when the writer is
   * finished, cancelled, failed or closed.
   */
  get signal(): AbortSignal {
    this.#use();
    this.#hearing.open();
    return this.#stop.signal;
  }

  /**
   * The signals of the stream, from its first one on. The iteration is over when the writer or the
   * stream is. It throws an `ApiError` when the broker refuses to send signals. Several iterations
   * each get all signals.
   */
  signals(): AsyncIterableIterator<SignalRecord> {
    this.#use();
    this.#hearing.open();
    return this.#hearing.read();
  }

  /**
   * Sends an event at once, together with the other events that are ready. Resolves when another
   * event may be written. `data` is a string, or any other JSON value, which becomes JSON text.
   * Undefined and null are no data.
   *
   * When a string ends with the first half of a surrogate pair, that half waits for the next string
   * of the same event name. A half without its other half becomes U+FFFD.
   *
   * Throws a `PublishError`. With `invalid-event` or `reserved-event` it refuses an event that the
   * broker would refuse, and the writer goes on. With `writer-closed` the writer was finished,
   * cancelled, failed or closed before. After a stop it is a `StoppedError`, also while the call
   * waits for room. Other errors made the writer fail.
   */
  async write(event: string, data?: unknown): Promise<void> {
    if (this.#ending)
      throw this.#error("writer-closed", `The writer can't write after ${this.#ending.how}`);
    if (this.#stop.heard && !this.#options.writeAfterStop) throw this.#stop.heard;
    const refused = reasonToRefuse(event, data);
    if (refused) throw this.#error(refused.code, refused.message);
    this.#use();
    await this.#sender.write(event, data);
  }

  /**
   * Resolves when all written events are stored. The first half of a character may still wait for
   * its other half. Throws the error that made the writer fail.
   */
  flush(): Promise<void> {
    return this.#sender.flush();
  }

  /**
   * Does `flush`, then ends the stream. When it is already finished, throws a `StoppedError` if
   * somebody has cancelled it, and `no-active-stream` otherwise.
   */
  finish(): Promise<void> {
    return this.#end("finish", async () => {
      await this.#sender.flushAll();
      this.#sender.close();
      await this.#finishStream("end", {}, true);
    });
  }

  /**
   * Drops the events that were not sent, and cancels the stream, because it is not complete. After
   * a stop the default reason is `stop`, and `by` is who asked for it. A stream that is already
   * finished is a success.
   */
  cancel({ reason, by }: Cancellation = {}): Promise<void> {
    return this.#end("cancel", () => {
      const isGiven = reason !== undefined || by !== undefined;
      return this.#dropAnd("cancel", isGiven ? { reason, by } : this.#stop.details, true);
    });
  }

  /**
   * Fails the stream, because the producer can't go on. Waits until the written events are stored,
   * at most `flushTimeoutMs`, and drops the others. A stream that is already finished is a success.
   */
  fail({ code, message }: Failure = {}): Promise<void> {
    return this.#end("fail", () => this.#flushAnd("fail", { code, message }, true));
  }

  /** Does `flush`, ends the lease, and leaves the stream active for other writers. */
  close(): Promise<void> {
    return this.#end("close", async () => {
      await this.#sender.flushAll();
      this.#sender.close();
      await this.#lease.release();
    });
  }

  /**
   * Does `finish`, or cancels the stream after a stop. It does neither when the writer was
   * finished, cancelled, failed or closed before. Fails the stream when the writer has failed.
   *
   * `await using` calls this method, also when an error leaves its block. The method does not learn
   * of that error. Use `run` where an error must fail the stream.
   */
  async [asyncDispose](): Promise<void> {
    const { failureReported } = this.#sender;
    try {
      await this.#leave();
    } catch (error) {
      if (!failureReported) throw error;
    }
  }

  /**
   * Calls the function with this writer, and finishes the stream when the function returns. When
   * the function throws, the writer waits until the written events are stored, at most
   * `flushTimeoutMs`, and fails the stream. After a stop it waits and cancels the stream in both
   * cases. It does nothing when the function has ended the writer itself.
   *
   * Returns what the function returns. Returns undefined when the function throws after a stop.
   * Otherwise it throws the function's error, or the error that made the writer fail.
   */
  async run<T>(write: (writer: Writer) => T | Promise<T>): Promise<T | undefined> {
    this.#use();
    this.#inBlock = true;
    let result: T;
    try {
      result = await write(this);
    } catch (error) {
      const stop = this.#stop.heard;
      await this.#leaveAfter(error);
      if (!stop) throw error;
      // The stop explains an abort. Another error may be a defect, and nobody else sees it.
      if (!isInterrupt(error)) this.#api.log("warn", "A producer threw after a stop", error);
      return undefined;
    }
    await this.#leave();
    return result;
  }

  /**
   * Writes each chunk as an event of this name, as fast as the broker takes them. Leaves the stream
   * active. At a stop it closes the source and throws a `StoppedError`, also while it waits for a
   * chunk, and with `writeAfterStop`. A generator that waits closes when its wait ends.
   *
   * It opens the same connection as `signal`.
   */
  pipeFrom(source: Source, event: string): Promise<void> {
    return pipe(source, (chunk) => this.write(event, chunk), this.signal);
  }

  /**
   * A `WritableStream` that writes each chunk as an event of this name, for
   * `readable.pipeTo(writer.writable("token"))`. Closing it finishes the stream. Aborting it fails
   * the stream after the written events are stored; `pipeTo` aborts it when the source fails. At a
   * stop the stream is cancelled, the source is closed, and `pipeTo` throws a `StoppedError`.
   *
   * It opens the same connection as `signal`.
   */
  writable(event: string): WritableStream<unknown> {
    this.#use();
    this.#hearing.open();
    return new WritableStream<unknown>({
      start: (controller) => {
        this.#onInterrupt((reason) => {
          controller.error(reason);
          // Nobody closes or aborts a `WritableStream` that has an error.
          if (this.#inBlock) return;
          this.#leaveAfter(reason).catch((error) => {
            this.#api.log("warn", "A stream could not be finished after a stop", error);
          });
        });
      },
      write: (chunk) => this.write(event, chunk),
      close: () => this.#leave(),
      abort: (reason) => this.#leaveAfter(reason),
    });
  }

  /** The writer is used, so its lease begins. */
  #use(): void {
    this.#lease.start();
  }

  /** Finishes the stream, or cancels it after a stop. */
  async #leave(): Promise<void> {
    try {
      if (this.#ending) await this.#ending.done;
      else if (this.#stop.heard) await this.#cancelStopped(true);
      else await this.finish();
    } catch (error) {
      // Somebody else has cancelled the stream, so there is nothing left to do.
      if (error instanceof StoppedError) return;
      await this.#leaveAfter(error);
      throw error;
    }
  }

  /** Fails the stream because of an error, or cancels it after a stop. */
  async #leaveAfter(error: unknown): Promise<void> {
    if (this.#ending) return;
    // The writer has retried for long. One more attempt is enough, and its error adds nothing.
    const failed =
      this.#sender.failure !== undefined ||
      (error instanceof PublishError && error.cause !== undefined);
    if (this.#stop.heard) return this.#cancelStopped(!failed);
    try {
      await this.#end("fail", () => this.#failFor(error, !failed));
    } catch (failing) {
      if (!failed)
        throw new AggregateError([error, failing], "The stream could not be failed after an error");
    }
  }

  #cancelStopped(persistent: boolean): Promise<void> {
    return this.#end("cancel", () => this.#flushAnd("cancel", this.#stop.details, persistent));
  }

  /** Fails the stream, with what `failure` makes of the error. */
  async #failFor(error: unknown, persistent: boolean): Promise<void> {
    const common = defaultFailure(error);
    const own = ownFailure(this.#options.failure, error, this.#api.log);
    try {
      await this.#flushAnd("fail", { ...common, ...own }, persistent);
    } catch (error) {
      if (!own || (error as PublishError).code !== "invalid-request") throw error;
      this.#api.log("warn", "The broker refused what the option `failure` returned", error);
      await this.#finishStream("fail", common, persistent);
    }
  }

  /**
   * Finishes the stream when the written events are stored, can't be stored, or took too long. The
   * others are dropped.
   */
  async #flushAnd(how: "cancel" | "fail", details: FinishDetails, persistent: boolean) {
    await settledWithin(this.#options.flushTimeoutMs, this.#sender.flushAll());
    await this.#dropAnd(how, details, persistent);
  }

  /** Drops the events that were not sent, and finishes the stream. */
  async #dropAnd(how: "cancel" | "fail", details: FinishDetails, persistent: boolean) {
    this.#sender.drop(this.#error("writer-closed", `The writer can't write after ${how}`));
    await this.#finishStream(how, details, persistent);
  }

  async #finishStream(how: "end" | "cancel" | "fail", details: FinishDetails, persistent: boolean) {
    await finishStream(this.#target, this.#sender.retry, { how, details, persistent }).catch(
      async (error) => {
        throw await this.#explain(error);
      },
    );
  }

  #end(how: WriterEnd, work: () => Promise<void>): Promise<void> {
    if (this.#ending) {
      if (this.#ending.how === how) return this.#ending.done;
      return Promise.reject(
        this.#error("writer-closed", `The writer can't ${how} after ${this.#ending.how}`),
      );
    }
    const done = work();
    const ending = { how, done };
    this.#ending = ending;
    const settled = () => {
      this.#lease.stop();
      this.#hearing.close();
    };
    done.then(settled, () => {
      settled();
      // After a failure the caller may try again to end the writer.
      if (this.#ending === ending) this.#ending = undefined;
    });
    return done;
  }

  /** Calls the function at a stop that forbids to write, and when the writer fails. */
  #onInterrupt(interrupted: (reason: unknown) => void): () => void {
    return this.#stop.onInterrupt(this.#options.writeAfterStop, interrupted);
  }

  /** The producer was asked to stop, or somebody has cancelled the stream. */
  async #learnStop(cause: unknown): Promise<void> {
    if (this.#stop.heard) return;
    this.#look ??= this.#hearing.look();
    await this.#look;
    this.#stopped(null, cause);
  }

  #stopped(by: string | null, cause?: unknown): void {
    if (this.#stop.heard) return;
    const stop = new StoppedError(by, this.acknowledged, cause);
    if (!this.#options.writeAfterStop) this.#sender.refuseWrites(stop);
    this.#stop.hear(stop);
  }

  /** The writer has failed. */
  #halted(failure: PublishError): void {
    this.#lease.stop();
    this.#hearing.close();
    this.#stop.fail(failure);
  }

  /** The error for callers that this error of the broker means. */
  async #explain(error: unknown): Promise<PublishError> {
    if (error instanceof PublishError) return error;
    if (isCancelled(error)) {
      await this.#learnStop(error);
      return new StoppedError(this.#stop.heard?.by ?? null, this.acknowledged, error);
    }
    const { message, code = "unexpected-error" } = error as Error & { code?: string };
    const confirmed = `${this.acknowledged} of the writer's events are confirmed`;
    return new PublishError(code, `${message} (${confirmed})`, this.acknowledged, error);
  }

  #error(code: string, message: string): PublishError {
    return new PublishError(code, message, this.acknowledged);
  }
}
