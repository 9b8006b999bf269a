import type { PublishError } from "../errors.js";
import { Gatherer } from "./gather.js";
import { NdjsonTransport } from "./ndjson.js";
import type { WriterOptions } from "./options.js";
import { Outbox } from "./outbox.js";
import { Retry } from "./retry.js";
import { SplitCharacters, wellFormedJson } from "./surrogates.js";
import type { Destination, Transport } from "./transport.js";
import { WebSocketTransport } from "./websocket.js";

/** What a sender reports. */
export interface SenderListener {
  /** The failure of the writer that this error means. */
  explain(error: unknown): Promise<PublishError>;
  /** No more events are sent. */
  failed(failure: PublishError): void;
}

/** Sends the events of a writer: in order, each once, even if the connection breaks. */
export class Sender {
  /** Decides about retries, also of the request that finishes the stream. */
  readonly retry: Retry;
  readonly #outbox: Outbox;
  readonly #transport: Transport;
  readonly #listener: SenderListener;
  readonly #abort = new AbortController();
  readonly #characters = new SplitCharacters();
  readonly #gatherer: Gatherer | undefined;
  #draining = false;

  constructor(destination: Destination, options: WriterOptions, listener: SenderListener) {
    const { transport, maxPending, retryForMs, coalesceMs, onAck } = options;
    this.#listener = listener;
    this.retry = new Retry(retryForMs);
    this.#transport =
      transport === "websocket"
        ? new WebSocketTransport(destination)
        : new NdjsonTransport(destination);
    this.#outbox = new Outbox(maxPending, (ack) => {
      this.retry.reset();
      onAck?.(ack);
    });
    if (coalesceMs > 0)
      this.#gatherer = new Gatherer(coalesceMs, (event, data) => this.#push(event, data));
  }

  /** How many events the broker has acknowledged. */
  get acknowledged(): number {
    return this.#outbox.acknowledged;
  }

  /** How many events are written and not acknowledged. */
  get pending(): number {
    return this.#outbox.pending + this.#gathered;
  }

  /** Why no more events are sent. */
  get failure(): PublishError | undefined {
    return this.#outbox.failure;
  }

  /** Whether a caller received the failure. */
  get failureReported(): boolean {
    return this.#outbox.failureReported;
  }

  /** Sends an event, or gathers it. Resolves when there is room for another one. */
  write(event: string, data: unknown): Promise<void> {
    const whole = typeof data === "string" ? this.#characters.join(event, data) : data;
    if (this.#gatherer && typeof whole === "string") {
      this.#gatherer.add(event, whole);
    } else {
      this.#gatherer?.send();
      this.#push(event, whole);
    }
    return this.#outbox.room(this.#gathered);
  }

  /** Resolves when all events so far are acknowledged. */
  flush(): Promise<void> {
    this.#gatherer?.send();
    return this.#outbox.flush();
  }

  /** Does `flush`, after it has written each first half that still waits as an event of its own. */
  flushAll(): Promise<void> {
    this.#gatherer?.send();
    for (const event of this.#characters.rest()) this.#push(event, "\uFFFD");
    return this.flush();
  }

  /** The callers that wait for room receive the error. Their events are sent. */
  refuseWrites(error: PublishError): void {
    this.#outbox.refuseWrites(error);
  }

  /** Drops the events that were not sent. The callers that wait receive the error. */
  drop(error: PublishError): void {
    this.#abort.abort();
    this.#gatherer?.drop();
    this.#outbox.fail(error);
    this.close();
  }

  /** Closes the connection. */
  close(): void {
    this.#transport.close();
  }

  get #gathered(): number {
    return this.#gatherer?.pending ?? 0;
  }

  #push(event: string, data: unknown): void {
    this.#outbox.push(wellFormedJson({ event, data }));
    void this.#drain();
  }

  /** Sends until the outbox is empty or the writer fails. */
  async #drain(): Promise<void> {
    if (this.#draining || this.#outbox.failure) return;
    this.#draining = true;
    this.retry.reset();
    try {
      // Callers that write without waiting fill the first request meanwhile.
      await Promise.resolve();
      while (this.#outbox.pending > 0) {
        try {
          await this.#transport.drain(this.#outbox, this.retry.timeout, this.#abort.signal);
        } catch (error) {
          await this.retry.pause(error, this.#abort.signal);
        }
      }
    } catch (error) {
      await this.#fail(error);
    } finally {
      this.#draining = false;
    }
  }

  async #fail(error: unknown): Promise<void> {
    // After `drop` the callers have their error.
    if (this.#outbox.failure) return;
    const failure = await this.#listener.explain(error);
    if (this.#outbox.failure) return;
    this.#gatherer?.drop();
    this.#outbox.fail(failure);
    this.close();
    this.#listener.failed(failure);
  }
}
