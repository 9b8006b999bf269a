import type { Api } from "../api.js";
import { asyncDispose } from "../dispose.js";
import { ApiError, PublishError } from "../errors.js";
import { within } from "../timing.js";
import type { WebSocketConstructor } from "../websocket.js";
import { reasonToRefuse } from "./names.js";
import { NdjsonTransport } from "./ndjson.js";
import { type Acknowledgement, Outbox } from "./outbox.js";
import { answeredWithin, Retry } from "./retry.js";
import { SplitCharacters, wellFormedJson } from "./surrogates.js";
import type { Transport } from "./transport.js";
import { WebSocketTransport } from "./websocket.js";

/** How a writer writes. */
export interface PublishOptions {
  /**
   * `ndjson` (the default): what is ready goes out as one request, and what is written meanwhile
   * gathers for the next. `websocket`: each event goes out at once and is acknowledged by itself.
   */
  transport?: "ndjson" | "websocket" | undefined;
  /** How many events may be unacknowledged before `write` waits. 1,000. */
  maxPending?: number | undefined;
  /** For how many milliseconds since the broker last confirmed something to try again. 60,000. */
  retryForMs?: number | undefined;
  /**
   * For how many milliseconds, after an error in the function that writes, to wait until what was
   * written is stored, before the stream is cancelled. 5,000.
   */
  flushTimeoutMs?: number | undefined;
  /** Called each time that the broker confirms events. What it throws makes the writer fail. */
  onAck?: ((acknowledgement: Acknowledgement) => void) | undefined;
  /**
   * Instead of the platform's `WebSocket`, for the transport `websocket`: one that takes `{ headers
   * }`, as those of `ws`, Node 22, Deno and Bun do. Those of browsers don't.
   */
  WebSocket?: WebSocketConstructor | undefined;
}

/**
 * Writes events into one active stream, in order, each once, however often the connection breaks.
 */
export class Writer implements AsyncDisposable {
  readonly #api: Api;
  readonly #key: string;
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
    } = options;
    const destination = { api, key, producer: randomName(), WebSocket };
    this.#api = api;
    this.#key = key;
    this.#flushTimeoutMs = options.flushTimeoutMs ?? 5_000;
    this.#retry = new Retry(retryForMs);
    this.#transport =
      transport === "websocket"
        ? new WebSocketTransport(destination)
        : new NdjsonTransport(destination);
    this.#outbox = new Outbox(maxPending, (acknowledgement) => {
      this.#retry.reset();
      onAck?.(acknowledgement);
    });
  }

  /** How many events the broker has confirmed. */
  get acknowledged(): number {
    return this.#outbox.acknowledged;
  }

  /** How many events are written and not confirmed. */
  get pending(): number {
    return this.#outbox.pending;
  }

  /**
   * Hands an event over; it is sent at once, together with whatever else is ready. Resolves when
   * there is room for another. `data` is a string, or any other JSON value, which becomes its JSON
   * text; undefined and null are no data.
   *
   * When a string ends with the first half of a surrogate pair, that half goes out with the next
   * string of the same event name. A half without its other half becomes U+FFFD.
   *
   * Throws a `PublishError`: `invalid-event` and `reserved-event` for an event that the broker
   * would refuse, after which the writer goes on; `writer-closed`; and whatever made the writer
   * fail.
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
   * Resolves when all that was written is stored; the first half of a character may still wait for
   * its other half. Throws what made the writer fail.
   */
  flush(): Promise<void> {
    return this.#outbox.flush();
  }

  /** `flush`, then ends the stream. */
  finish(): Promise<void> {
    return this.#end("finish", async () => {
      await this.#flushAll();
      this.#transport.close();
      await this.#endStream("/api/stream/end", "ended");
    });
  }

  /** Drops what was not sent, and cancels the stream: what is in it is not complete. */
  cancel(): Promise<void> {
    return this.#cancel(true);
  }

  /** `flush`, and leaves the stream active for other writers. */
  close(): Promise<void> {
    return this.#end("close", async () => {
      await this.#flushAll();
      this.#transport.close();
    });
  }

  /**
   * `finish`, unless the writer is at its end already; a stream that can't be finished is
   * cancelled. `await using` calls it, also when its block is left by an error, of which it is not
   * told: where that matters, take `run`.
   */
  async [asyncDispose](): Promise<void> {
    if (this.#ending) return this.#ending.done;
    const { failureTold } = this.#outbox;
    try {
      await this.finish();
    } catch (error) {
      await this.#abandon(error);
      if (!failureTold) throw error;
    }
  }

  /**
   * Calls the function with this writer. Finishes the stream when the function returns. When it
   * throws, what it wrote is stored first, for which there are `flushTimeoutMs`, and the stream is
   * cancelled. Nothing of this happens when it has brought the writer to its end by itself.
   * Resolves with what the function returns; throws what it throws, and what makes the writer fail.
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
   * Writes each chunk as an event of this name, at the pace of the broker. Leaves the stream
   * active.
   */
  async pipeFrom(source: AsyncIterable<unknown> | Iterable<unknown>, event: string): Promise<void> {
    for await (const chunk of source) await this.write(event, chunk);
  }

  /**
   * A `WritableStream` that writes each chunk as an event of this name: for
   * `readable.pipeTo(writer.writable("token"))`. Closing it finishes the stream. Aborting it, as
   * `pipeTo` does when the source fails, cancels it after what was written is stored.
   */
  writable(event: string): WritableStream<unknown> {
    return new WritableStream<unknown>({
      write: (chunk) => this.write(event, chunk),
      close: () => this.finish(),
      abort: () => this.#cancelAfterFlush(true),
    });
  }

  /** Sends until there is nothing left to send, or no way to. */
  async #drain(): Promise<void> {
    if (this.#draining || this.#outbox.failure) return;
    this.#draining = true;
    this.#retry.reset();
    try {
      // Lets those who write without waiting fill the first request.
      await Promise.resolve();
      while (this.#outbox.pending > 0) {
        try {
          await this.#transport.drain(this.#outbox, this.#retry.patience, this.#abort.signal);
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

  /** Hands an event to the outbox. */
  #push(event: string, data: unknown): Promise<void> {
    const room = this.#outbox.push(wellFormedJson({ event, data }));
    void this.#drain();
    return room;
  }

  /**
   * `flush`, after the halves of characters whose other halves never came: each is an event of its
   * own.
   */
  async #flushAll(): Promise<void> {
    // Their errors are those of `flush`.
    for (const event of this.#characters.rest()) this.#push(event, "\uFFFD").catch(() => {});
    await this.flush();
  }

  /** Cancels the stream because of an error. */
  async #abandon(error: unknown): Promise<void> {
    if (this.#ending) return;
    // A broker that could not be reached for so long is asked once more; that it fails again, the
    // error says already.
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
    return this.#end("cancel", () => this.#drop(persistent));
  }

  /**
   * Cancels the stream when what was written is stored, or can't be, or the time for it is over.
   */
  #cancelAfterFlush(persistent: boolean): Promise<void> {
    return this.#end("cancel", async () => {
      await withTimeout(this.#flushTimeoutMs, this.#flushAll());
      await this.#drop(persistent);
    });
  }

  async #drop(persistent: boolean): Promise<void> {
    this.#abort.abort();
    this.#outbox.fail(this.#error("writer-closed", "The writer was cancelled"));
    this.#transport.close();
    await this.#endStream("/api/stream/cancel", "cancelled", persistent);
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
    // After an end that failed another can be tried.
    done.catch(() => {
      if (this.#ending === ending) this.#ending = undefined;
    });
    return done;
  }

  async #endStream(
    path: "/api/stream/end" | "/api/stream/cancel",
    status: string,
    persistent = true,
  ): Promise<void> {
    const signal = new AbortController().signal;
    this.#retry.reset();
    for (let first = true; ; first = false) {
      try {
        await answeredWithin(this.#retry.patience(), signal, (signal) =>
          this.#api.answer(
            this.#api.routes.POST(path, { body: { key: this.#key }, signal }),
            signal,
          ),
        );
        return;
      } catch (error) {
        try {
          // An attempt whose answer was lost may have done it.
          if (
            !first &&
            error instanceof ApiError &&
            error.code === "no-active-stream" &&
            (await this.#status()) === status
          )
            return;
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
    const { status } = await this.#api.answer(
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

/** Resolves when the work is done, or failed, or has taken so long. */
async function withTimeout(ms: number, work: Promise<void>): Promise<void> {
  await within<void>(ms, new AbortController().signal, (resolve) => {
    work.then(resolve, () => resolve());
  }).catch(() => {});
}

/**
 * A name that no other writer of the stream has. It is no secret, and Node 18 has no global
 * `crypto`.
 */
function randomName(): string {
  const random = () => Math.random().toString(36).slice(2);
  return `${random()}${random()}`;
}
