import type { WebSocketConstructor } from "../websocket.js";
import { checkLease } from "./lease.js";
import type { Ack } from "./outbox.js";

/** What went wrong, as the subscribers of a stream receive it with the last event. */
export interface Failure {
  /** A word for programs: 1 to 64 of `a` to `z`, `0` to `9`, `-`. The broker's default is `error`. */
  code?: string | undefined;
  /** A text for people, in at most 1 KiB. */
  message?: string | undefined;
}

/** Why a stream is cancelled, as its subscribers receive it with the last event. */
export interface Cancellation {
  /** The reason, in at most 1 KiB. */
  reason?: string | undefined;
  /** Who cancels it, in at most 128 bytes. */
  by?: string | undefined;
}

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
  /**
   * How many seconds the writer may be silent, before the broker abandons the stream: 0 for ever,
   * or 2 to 86,400. 30. The writer renews this lease in the background, from its first use on.
   */
  lease?: number | undefined;
  /** How many events may be unacknowledged before `write` waits. 1,000. */
  maxPending?: number | undefined;
  /**
   * How long to gather strings, in milliseconds: consecutive strings of one event name become one
   * event, up to 64 KiB. 0 sends each string as an event of its own. 0.
   */
  coalesceMs?: number | undefined;
  /** Go on writing after a stop. `write` then throws no `StoppedError`. False. */
  writeAfterStop?: boolean | undefined;
  /**
   * Makes of the error that left the function what subscribers receive. Do not give them the text
   * of an error that may hold a secret. By default the code is `error`, or `interrupted` for an
   * `AbortError`, and the message is always the same.
   */
  failure?: ((error: unknown) => Failure) | undefined;
  /**
   * How long to try again since the broker last acknowledged something, in milliseconds. 60,000.
   */
  retryForMs?: number | undefined;
  /**
   * After an error or a stop: how long to wait until the written events are stored, before the
   * stream fails or is cancelled, in milliseconds. 5,000.
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

/** The options with their defaults. Throws a `RangeError` when a number is out of its range. */
export function withDefaults(options: PublishOptions) {
  const { lease = 30, coalesceMs = 0 } = options;
  checkLease(lease);
  if (!(coalesceMs >= 0 && coalesceMs < 2 ** 31))
    throw new RangeError(`\`coalesceMs\` is 0 or a number of milliseconds, not ${coalesceMs}`);
  return {
    ...options,
    lease,
    coalesceMs,
    writeAfterStop: options.writeAfterStop ?? false,
    transport: options.transport ?? "ndjson",
    maxPending: options.maxPending ?? 1_000,
    retryForMs: options.retryForMs ?? 60_000,
    flushTimeoutMs: options.flushTimeoutMs ?? 5_000,
  };
}

/** The options of a writer, with their defaults. */
export type WriterOptions = ReturnType<typeof withDefaults>;
