import {
  type ResumableStreamAcquireOptions,
  ResumableStreamError,
} from "assistant-stream/resumable";
import { ApiError } from "../errors.js";
import type { StreamState } from "../generated/openapi.js";
import type { StoreOptions } from "./options.js";

/** The ids that assistant-ui takes. */
const STREAM_ID = /^[A-Za-z0-9_.:-]{1,256}$/;
/** The most bytes of a key. */
const MAX_KEY = 256;
/** The longest life of a stream after its last write, in seconds. */
const MAX_TTL = 604_800;
/** The reason of a stream that was deleted. Its key then keeps an empty stream for a while. */
const DELETED = "tinistreamer:deleted";
/** How many seconds such an empty stream exists. Readers that lost their connection find it. */
const DELETED_TTL = 60;

/** Creates, finds and deletes the streams of a store. */
export class Streams {
  readonly #options: StoreOptions;

  constructor(options: StoreOptions) {
    this.#options = options;
  }

  /** The key of a stream. Throws a `ResumableStreamError` `invalid-id`. */
  keyOf(streamId: string): string {
    const key = `${this.#options.keyPrefix}:${streamId}`;
    if (STREAM_ID.test(streamId) && new TextEncoder().encode(key).length <= MAX_KEY) return key;
    throw new ResumableStreamError(
      "invalid-id",
      `Invalid streamId: ${streamId} (it must match ${STREAM_ID}, and with the prefix of its key ` +
        `have at most ${MAX_KEY} bytes)`,
    );
  }

  /** The state of a stream. Undefined when there is none, or it was deleted. */
  async find(key: string): Promise<StreamState | undefined> {
    const state = await this.#state(key);
    return state && !isDeleted(state) ? state : undefined;
  }

  /** Whether the stream was deleted, and not only has expired. */
  async isDeleted(key: string): Promise<boolean> {
    const state = await this.#state(key);
    return state !== undefined && isDeleted(state);
  }

  /**
   * Creates a stream, and returns its generation. Undefined when a stream has the key, finished or
   * not.
   */
  async create(
    key: string,
    options: ResumableStreamAcquireOptions = {},
  ): Promise<string | undefined> {
    const ttl = secondsOf(options.ttlMs);
    const created = await this.#create(key, "attach", ttl);
    if (created !== undefined) return created;
    const found = await this.find(key);
    // In place of a deleted one. Another call may be faster.
    return found ? undefined : this.#create(key, "replace", ttl);
  }

  /** Deletes a stream with its events. Its readers come to the end. */
  async delete(key: string): Promise<void> {
    const state = await this.find(key);
    if (!state) return;
    const { client } = this.#options;
    const { generation } = state;
    const mark = { reason: DELETED };
    try {
      await client.cancelStream(key, { ...mark, generation });
      const { created, ...empty } = await client.createStream(key, {
        if_exists: "attach",
        if_finished: "replace",
        ttl: DELETED_TTL,
        max_events: 1,
        lease: 2,
      });
      if (created) await client.cancelStream(key, { ...mark, generation: empty.generation });
    } catch (error) {
      // Another stream has the key meanwhile.
      if (!(error instanceof ApiError && error.code === "stale-generation")) throw error;
    }
  }

  async #create(
    key: string,
    if_finished: "attach" | "replace",
    ttl: number | undefined,
  ): Promise<string | undefined> {
    const { client, lease, stream } = this.#options;
    const { created, generation } = await client.createStream(key, {
      ...stream,
      ...(ttl === undefined ? {} : { ttl }),
      if_exists: "attach",
      if_finished,
      lease,
    });
    return created ? generation : undefined;
  }

  async #state(key: string): Promise<StreamState | undefined> {
    try {
      return await this.#options.client.streamInfo(key);
    } catch (error) {
      if (error instanceof ApiError && error.code === "stream-not-found") return undefined;
      throw error;
    }
  }
}

function isDeleted({ status, reason }: StreamState): boolean {
  const { reason: why } = (reason ?? {}) as { reason?: unknown };
  return status === "cancelled" && why === DELETED;
}

/** Whole seconds of at least 1. Throws a `RangeError` when the broker does not keep it so long. */
function secondsOf(ms: number | undefined): number | undefined {
  if (ms === undefined) return undefined;
  const seconds = Math.max(1, Math.ceil(ms / 1000));
  if (seconds <= MAX_TTL) return seconds;
  throw new RangeError(`\`ttlMs\` is a number of at most ${MAX_TTL * 1000}, not ${ms}`);
}
