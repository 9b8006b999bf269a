// For backends.

import type {
  ResumableStreamAcquireOptions,
  ResumableStreamAcquisition,
  ResumableStreamLease,
  ResumableStreamStatus,
  ResumableStreamStore,
} from "assistant-stream/resumable";
import { type BrokerStoreOptions, withDefaults } from "./assistant-ui/options.js";
import { Producers } from "./assistant-ui/producers.js";
import { readStream } from "./assistant-ui/read.js";
import { Streams } from "./assistant-ui/streams.js";
import { requestStop } from "./entries/stop.js";

export type { BrokerStoreOptions } from "./assistant-ui/options.js";
export { EntryError } from "./entries/errors.js";
export { StreamOverError } from "./entries/over.js";
export { ApiError, PublishError, StoppedError, SubscribeError } from "./errors.js";

/** A store of assistant-ui on the broker. */
export interface BrokerResumableStreamStore extends ResumableStreamStore {
  acquireLease(
    streamId: string,
    options?: ResumableStreamAcquireOptions,
  ): Promise<ResumableStreamAcquisition>;
  finalize(
    streamId: string,
    status: "done" | "error",
    error?: string,
    lease?: ResumableStreamLease,
  ): Promise<boolean>;
  /**
   * Give it to the model. Aborted with a `StoppedError` when somebody asks for a stop, and with
   * another error when the broker takes no more of the stream. Throws a `ResumableStreamError`
   * `missing` unless this store has acquired the stream, and has not finalized it.
   */
  signal(streamId: string): AbortSignal;
  /**
   * Asks the producer of a stream to stop, also on another node. It is a success when the
   * stream is finished, or is not known. Throws the broker's `ApiError`, or an `UnreachableError`.
   */
  requestStop(streamId: string): Promise<void>;
}

/**
 * A store for `createResumableStreamContext` of `assistant-stream/resumable`. The broker keeps the
 * bytes, so any node serves any reader, and a stream survives the process that made it.
 *
 * A stream that was stopped is `done`, with what was written. One that failed, or whose producer
 * died, is `error`. Its readers get an `Error` whose `cause` is a `SubscribeError`.
 *
 * Methods throw a `ResumableStreamError`, and the errors of the broker: `ApiError`,
 * `UnreachableError`, `PublishError` and `SubscribeError`.
 */
export function createBrokerResumableStreamStore(
  options: BrokerStoreOptions,
): BrokerResumableStreamStore {
  const settings = withDefaults(options);
  const streams = new Streams(settings);
  const producers = new Producers(settings, streams);

  async function acquireLease(
    streamId: string,
    options?: ResumableStreamAcquireOptions,
  ): Promise<ResumableStreamAcquisition> {
    const key = streams.keyOf(streamId);
    const token = await streams.create(key, options);
    if (token === undefined) return { role: "consumer" };
    producers.acquired({ streamId, key }, token);
    return { role: "producer", lease: { token } };
  }

  return {
    acquireLease,

    async acquire(streamId, options) {
      return (await acquireLease(streamId, options)).role;
    },

    async append(streamId, chunk, lease) {
      const key = streams.keyOf(streamId);
      if (chunk.byteLength > settings.maxChunkBytes)
        // As assistant-ui's own stores do, and its tests expect.
        throw new Error(`Chunk exceeds maxChunkBytes: ${chunk.byteLength}`);
      await producers.append({ streamId, key, lease }, chunk);
    },

    async finalize(streamId, status, error = "The producer failed", lease) {
      const key = streams.keyOf(streamId);
      return producers.finalize({ streamId, key, lease }, status === "done" ? undefined : error);
    },

    async *read(streamId, cursor, signal) {
      const key = streams.keyOf(streamId);
      yield* readStream(streams, settings, { streamId, key, cursor, signal });
    },

    async status(streamId): Promise<ResumableStreamStatus> {
      const state = await streams.find(streams.keyOf(streamId));
      if (!state) return "missing";
      if (state.status === "active") return "streaming";
      return state.status === "ended" || state.status === "cancelled" ? "done" : "error";
    },

    async delete(streamId) {
      await streams.delete(streams.keyOf(streamId));
    },

    signal: (streamId) => producers.signalOf(streamId),

    async requestStop(streamId) {
      await requestStop(settings.client, streams.keyOf(streamId));
    },
  };
}
