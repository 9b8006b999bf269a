import type { Api } from "../api.js";
import { asyncDispose } from "../dispose.js";
import { ApiError, PublishError } from "../errors.js";
import { withTimeout } from "../timeout.js";
import type { WebSocketConstructor } from "../websocket.js";
import { reasonToRefuse } from "./names.js";
import { NdjsonTransport } from "./ndjson.js";
import { type Ack, Outbox } from "./outbox.js";
import { Retry, respondedWithin } from "./retry.js";
import { SplitCharacters, wellFormedJson } from "./surrogates.js";
import type { Transport } from "./transport.js";
import { WebSocketTransport } from "./websocket.js";

/** How a writer writes. */
export interface PublishOptions {
  /**
   * `ndjson` (the default): a request contains all events that are ready; events that are written
   * meanwhile wait for the next one. `websocket`: each event is sent at once and acknowledged by
   * itself.
   */
  transport?: "ndjson" | "websocket" | undefined;
  /**
   * The generation that the stream must have, as `createStream` returned it. The writer fails with
   * `stale-generation` when another stream has the key.
   */
  generation?: string | undefined;
  /** How many events may be unacknowledged before `write` waits. 1,000. */
  maxPending?: number | undefined;
  /**
   * How long to try again since the broker last acknowledged something, in milliseconds. 60,000.
   */
  retryForMs?: number | undefined;
  /**
   * After an error in the function that writes: how long to wait until the written events are
   * stored, before the stream is cancelled, in milliseconds. 5,000.
   */
  flushTimeoutMs?: number | undefined;
  /** Called each time that the broker acknowledges events. Its errors make the writer fail. */
  onAck?: ((ack: Ack) => void) | undefined;
  /**
   * Replaces the platform's `WebSocket`, for the transport `websocket`. It must take `{ headers }`,
   * as those of `ws`, Node 22, Deno and Bun do. Those of browsers do not.
   */
  WebSocket?: WebSocketConstructor | undefined;
}

/** Writes events into one active stream: in order, each once, even if the connection breaks. */
export class Writer implements AsyncDisposable {
  readonly #api: Api;
  readonly #key: string;
  readonly #generation: string | undefined;
  readonly #outbox: Outbox;
  readonly #transport: Transport;
  readonly #retry: Retry;
  readonly #abort = new AbortController();
  readonly #characters = new SplitCharacters();
  readonly #flushTimeoutMs: number;
  #draining = false;
  #ending: { how: "finish" | "cancel" | "close"; done: Promise<void> } | undefined;

  /** For `Client.publish`. */
  constructor(api: Api, key: string, options: PublishOptions) {
    const {
      transport = "ndjson",
      maxPending = 1_000,
      retryForMs = 60_000,
      onAck,
      WebSocket,
      generation,
    } = options;
    const destination = { api, key, producer: randomName(), generation, WebSocket };
    this.#api = api;
    this.#key = key;
    this.#generation = generation;
    this.#flushTimeoutMs = options.flushTimeoutMs ?? 5_000;
    this.#retry = new Retry(retryForMs);
    this.#transport =
      transport === "websocket"
        ? new WebSocketTransport(destination)
        : new NdjsonTransport(destination);
    this.#outbox = new Outbox(maxPending, (ack) => {
      this.#retry.reset();
      onAck?.(ack);
    });
  }

  /** How many events the broker has acknowledged. */
  get acknowledged(): number {
    return this.#outbox.acknowledged;
  }

  /** How many events are written and not acknowledged. */
  get pending(): number {
    return this.#outbox.pending;
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
   * cancelled or closed before. Other errors made the writer fail.
   */
  async write(event: string, data?: unknown): Promise<void> {
    if (this.#ending)
      throw this.#error("writer-closed", `The writer can't write after ${this.#ending.how}`);
    const refused = reasonToRefuse(event, data);
    if (refused) throw this.#error(refused.code, refused.message);
    const whole = typeof data === "string" ? this.#characters.join(event, data) : data;
    await this.#push(event, whole);
  }

  /**
   * Resolves when all written events are stored. The first half of a character may still wait for
   * its other half. Throws the error that made the writer fail.
   */
  flush(): Promise<void> {
    return this.#outbox.flush();
  }

  /** Does `flush`, then ends the stream. Throws `no-active-stream` when it is already finished. */
  finish(): Promise<void> {
    return this.#end("finish", async () => {
      await this.#flushAll();
      this.#transport.close();
      await this.#endStream("/api/stream/end", "ended");
    });
  }

  /**
   * Drops the events that were not sent, and cancels the stream, because it is not complete. Throws
   * `no-active-stream` when it is already finished.
   */
  cancel(): Promise<void> {
    return this.#cancel(true);
  }

  /** Does `flush`, and leaves the stream active for other writers. */
  close(): Promise<void> {
    return this.#end("close", async () => {
      await this.#flushAll();
      this.#transport.close();
    });
  }

  /**
   * Does `finish`, unless the writer was finished, cancelled or closed before. Cancels the stream
   * when it can't be finished.
   *
   * `await using` calls this method, also when an error leaves its block. The method does not learn
   * of that error. Use `run` where an error must cancel the stream.
   */
  async [asyncDispose](): Promise<void> {
    if (this.#ending) return this.#ending.done;
    const { failureReported } = this.#outbox;
    try {
      await this.finish();
    } catch (error) {
      await this.#abandon(error);
      if (!failureReported) throw error;
    }
  }

  /**
   * Calls the function with this writer, and finishes the stream when the function returns. When
   * the function throws, the writer waits until the written events are stored, at most
   * `flushTimeoutMs`, and cancels the stream. It does neither when the function has finished,
   * cancelled or closed the writer itself. Returns what the function returns. Throws the function's
   * error, or the error that made the writer fail.
   */
  async run<T>(write: (writer: Writer) => T | Promise<T>): Promise<T> {
    try {
      const result = await write(this);
      await (this.#ending?.done ?? this.finish());
      return result;
    } catch (error) {
      await this.#abandon(error);
      throw error;
    }
  }

  /**
   * Writes each chunk as an event of this name, as fast as the broker takes them. Leaves the stream
   * active.
   */
  async pipeFrom(source: AsyncIterable<unknown> | Iterable<unknown>, event: string): Promise<void> {
    for await (const chunk of source) await this.write(event, chunk);
  }

  /**
   * A `WritableStream` that writes each chunk as an event of this name, for
   * `readable.pipeTo(writer.writable("token"))`. Closing it finishes the stream. Aborting it
   * cancels the stream after the written events are stored; `pipeTo` aborts it when the source
   * fails.
   */
  writable(event: string): WritableStream<unknown> {
    return new WritableStream<unknown>({
      write: (chunk) => this.write(event, chunk),
      close: () => this.finish(),
      abort: () => this.#cancelAfterFlush(true),
    });
  }

  /** Sends until the outbox is empty or the writer fails. */
  async #drain(): Promise<void> {
    if (this.#draining || this.#outbox.failure) return;
    this.#draining = true;
    this.#retry.reset();
    try {
      // Callers that write without waiting fill the first request meanwhile.
      await Promise.resolve();
      while (this.#outbox.pending > 0) {
        try {
          await this.#transport.drain(this.#outbox, this.#retry.timeout, this.#abort.signal);
        } catch (error) {
          await this.#retry.pause(error, this.#abort.signal);
        }
      }
    } catch (error) {
      this.#outbox.fail(this.#failed(error));
      this.#transport.close();
    } finally {
      this.#draining = false;
    }
  }

  /** Puts an event into the outbox. */
  #push(event: string, data: unknown): Promise<void> {
    const room = this.#outbox.push(wellFormedJson({ event, data }));
    void this.#drain();
    return room;
  }

  /** Does `flush`, after it has written each first half that still waits as an event of its own. */
  async #flushAll(): Promise<void> {
    // `flush` throws the same errors.
    for (const event of this.#characters.rest()) this.#push(event, "\uFFFD").catch(() => {});
    await this.flush();
  }

  /** Cancels the stream because of an error. */
  async #abandon(error: unknown): Promise<void> {
    if (this.#ending) return;
    // The writer has retried for long. One more attempt is enough, and its error adds nothing.
    const failed =
      this.#outbox.failure !== undefined ||
      (error instanceof PublishError && error.cause !== undefined);
    try {
      await this.#cancelAfterFlush(!failed);
    } catch (cancelling) {
      if (!failed)
        throw new AggregateError(
          [error, cancelling],
          "The stream could not be cancelled after an error",
        );
    }
  }

  #cancel(persistent: boolean): Promise<void> {
    return this.#end("cancel", () => this.#drop(persistent, false));
  }

  /**
   * Cancels the stream when the written events are stored, can't be stored, or took too long. A
   * stream that somebody else has finished needs no cancelling.
   */
  #cancelAfterFlush(persistent: boolean): Promise<void> {
    return this.#end("cancel", async () => {
      await settledWithin(this.#flushTimeoutMs, this.#flushAll());
      await this.#drop(persistent, true);
    });
  }

  async #drop(persistent: boolean, mayBeFinished: boolean): Promise<void> {
    this.#abort.abort();
    this.#outbox.fail(this.#error("writer-closed", "The writer was cancelled"));
    this.#transport.close();
    await this.#endStream("/api/stream/cancel", "cancelled", persistent, mayBeFinished);
  }

  #end(how: "finish" | "cancel" | "close", work: () => Promise<void>): Promise<void> {
    if (this.#ending) {
      if (this.#ending.how === how) return this.#ending.done;
      return Promise.reject(
        this.#error("writer-closed", `The writer can't ${how} after ${this.#ending.how}`),
      );
    }
    const done = work();
    const ending = { how, done };
    this.#ending = ending;
    // After a failure the caller may try again to finish, cancel or close.
    done.catch(() => {
      if (this.#ending === ending) this.#ending = undefined;
    });
    return done;
  }

  async #endStream(
    path: "/api/stream/end" | "/api/stream/cancel",
    status: string,
    persistent = true,
    mayBeFinished = false,
  ): Promise<void> {
    const signal = new AbortController().signal;
    const generation = this.#generation;
    const body = { key: this.#key, ...(generation === undefined ? {} : { generation }) };
    this.#retry.reset();
    for (let first = true; ; first = false) {
      try {
        await respondedWithin(this.#retry.timeout(), signal, (signal) =>
          this.#api.call(this.#api.routes.POST(path, { body, signal }), signal),
        );
        return;
      } catch (error) {
        try {
          if (error instanceof ApiError && error.code === "no-active-stream") {
            if (mayBeFinished && error.streamStatus) return;
            // An earlier attempt, whose response was lost, may have finished the stream.
            if (!first && (error.streamStatus ?? (await this.#status())) === status) return;
          }
          if (!persistent) throw error;
          await this.#retry.pause(error, signal);
        } catch (error) {
          throw this.#failed(error);
        }
      }
    }
  }

  async #status(): Promise<string> {
    const query = { key: this.#key };
    const { status } = await this.#api.call(
      this.#api.routes.GET("/api/stream/info", { params: { query } }),
      undefined,
    );
    return status;
  }

  #failed(error: unknown): PublishError {
    if (error instanceof PublishError) return error;
    const { message, code = "unexpected-error" } = error as Error & { code?: string };
    const confirmed = `${this.acknowledged} of the writer's events are confirmed`;
    return new PublishError(code, `${message} (${confirmed})`, this.acknowledged, error);
  }

  #error(code: string, message: string): PublishError {
    return new PublishError(code, message, this.acknowledged);
  }
}

/** Resolves when the work is done or has failed, or after `ms` milliseconds. */
async function settledWithin(ms: number, work: Promise<void>): Promise<void> {
  await withTimeout<void>(ms, new AbortController().signal, (resolve) => {
    work.then(resolve, () => resolve());
  }).catch(() => {});
}

/**
 * A name that no other writer of the stream has. It is not a secret. Node 18 has no global
 * `crypto`.
 */
function randomName(): string {
  const random = () => Math.random().toString(36).slice(2);
  return `${random()}${random()}`;
}
