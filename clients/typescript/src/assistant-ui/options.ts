import type { ClientOptions } from "../api.js";
import { Client } from "../client.js";
import type { StreamOptions } from "../client-options.js";

/** The broker, and how it keeps streams. */
export type BrokerStoreOptions = ({ client: Client } | ClientOptions) & {
  /** The prefix of the streams' keys, before a colon and the id of the stream. `assistant-ui`. */
  keyPrefix?: string | undefined;
  /**
   * After how many seconds of silence the broker abandons a stream: 0 for never, or 2 to 86,400.
   * 30. The lease is renewed in the background while the stream is written, so it ends with the
   * process.
   */
  lease?: number | undefined;
  /** The most bytes of one chunk. Without it, its text may have 16 Mi characters. */
  maxChunkBytes?: number | undefined;
  /**
   * Options of the streams. `ttl` is how many seconds a stream exists after its last chunk, unless
   * `ttlMs` says so: 86,400. `max_events` is about how many chunks it keeps: 1,000,000, the
   * broker's maximum. `stall` bounds the time that the model may be silent. `stop_grace` is how
   * many seconds a producer has to follow a stop.
   */
  stream?: Pick<StreamOptions, "ttl" | "max_events" | "stall" | "stop_grace"> | undefined;
};

/** The options with their defaults. */
export function withDefaults(options: BrokerStoreOptions) {
  return {
    client: "client" in options ? options.client : new Client(options),
    keyPrefix: options.keyPrefix ?? "assistant-ui",
    lease: options.lease ?? 30,
    maxChunkBytes: options.maxChunkBytes ?? Number.POSITIVE_INFINITY,
    stream: { ttl: 86_400, max_events: 1_000_000, ...options.stream },
  };
}

/** The options of a store, with their defaults. */
export type StoreOptions = ReturnType<typeof withDefaults>;
