import type { ClientOptions } from "../api.js";
import { Client } from "../client.js";
import type { StreamOptions } from "../client-options.js";

/** The broker, and how it keeps the logs of runs. */
export type BrokerStreamOptions = ({ client: Client } | ClientOptions) & {
  /** The prefix of the streams' keys, before a colon and the id of the run. `tanstack-ai`. */
  keyPrefix?: string | undefined;
  /**
   * After how many seconds of silence the broker abandons a run: 0 for never, or 2 to 86,400. 30.
   * The lease is renewed in the background while the run is written, so it ends with the process.
   */
  lease?: number | undefined;
  /**
   * How long a reader waits for a run that does not exist yet, in milliseconds. 1,000. A reader
   * that continues at an offset does not wait.
   */
  firstChunkDeadlineMs?: number | undefined;
  /**
   * Options of the streams. `ttl` is how many seconds a log exists after its last chunk: 86,400.
   * `max_events` is about how many chunks it keeps: 1,000,000, the broker's maximum. `stall` bounds
   * the time that the model may be silent. `stop_grace` is how many seconds a run has to follow a
   * stop.
   */
  stream?: Pick<StreamOptions, "ttl" | "max_events" | "stall" | "stop_grace"> | undefined;
};

/** The options with their defaults. */
export function withDefaults(options: BrokerStreamOptions) {
  return {
    client: "client" in options ? options.client : new Client(options),
    keyPrefix: options.keyPrefix ?? "tanstack-ai",
    lease: options.lease ?? 30,
    firstChunkDeadlineMs: options.firstChunkDeadlineMs ?? 1_000,
    stream: { ttl: 86_400, max_events: 1_000_000, ...options.stream },
  };
}

/** The options of a log, with their defaults. */
export type LogOptions = ReturnType<typeof withDefaults>;
