import type { ClientOptions } from "./api.js";
import { Client } from "./client.js";
import { ApiError } from "./errors.js";
import { produce, read } from "./resumable-stream/streams.js";

/** The broker, and how it keeps the streams. */
export type CreateResumableStreamContextOptions = ({ client: Client } | ClientOptions) & {
  /** The prefix of the streams' keys, before a colon. `resumable-stream`. */
  keyPrefix?: string | undefined;
  /**
   * Takes a promise and keeps the program alive until it is settled, as `after` of Next.js does.
   * Null where programs do not stop by themselves.
   */
  waitUntil: ((promise: Promise<unknown>) => void) | null;
  /**
   * How many seconds a stream exists after its last text. Until then a finished one is `"DONE"`.
   * 86,400.
   */
  ttl?: number | undefined;
  /**
   * About how many chunks a stream keeps. A stream with more can't be resumed from its start.
   * 1,000,000, the broker's maximum.
   */
  maxEvents?: number | undefined;
};

/** Streams of text that several readers can read from any position, while they are written. */
export interface ResumableStreamContext {
  /**
   * Makes a stream, or resumes the existing one.
   *
   * @param streamId A name that no other stream has.
   * @param makeStream Makes the text. It is called only when no stream has this name.
   * @param skipCharacters How many UTF-16 code units to leave out when a stream is resumed. A new
   * stream is returned from its start.
   * @returns The text, or null when the stream is finished.
   */
  resumableStream(
    streamId: string,
    makeStream: () => ReadableStream<string>,
    skipCharacters?: number,
  ): Promise<ReadableStream<string> | null>;
  /**
   * Resumes a stream.
   *
   * @param skipCharacters How many UTF-16 code units to leave out.
   * @returns The text. Null when the stream is finished; undefined when no stream has this name.
   */
  resumeExistingStream(
    streamId: string,
    skipCharacters?: number,
  ): Promise<ReadableStream<string> | null | undefined>;
  /**
   * Makes a stream. It replaces another one of this name.
   *
   * @param skipCharacters Has no effect on a new stream. It is here because the package
   * `resumable-stream` has it.
   * @returns The text.
   */
  createNewResumableStream(
    streamId: string,
    makeStream: () => ReadableStream<string>,
    skipCharacters?: number,
  ): Promise<ReadableStream<string> | null>;
  /**
   * @returns True while a stream of this name is written, `"DONE"` when finished, else null. A
   * stream that was cancelled, failed or was abandoned is finished, too.
   */
  hasExistingStream(streamId: string): Promise<null | true | "DONE">;
}

/**
 * Replaces the function of the same name of the package `resumable-stream`. The broker keeps the
 * text, instead of the process that made it.
 *
 * A stream is written to its end even if nobody reads it. When `makeStream`'s stream fails, or the
 * broker can't store the text, all readers get an error. They also get one when the stream in the
 * broker is cancelled, fails or is abandoned. Calls throw the errors of `Client`.
 */
export function createResumableStreamContext(
  options: CreateResumableStreamContextOptions,
): ResumableStreamContext {
  const client = "client" in options ? options.client : new Client(options);
  const {
    keyPrefix = "resumable-stream",
    waitUntil,
    ttl = 86_400,
    maxEvents = 1_000_000,
  } = options;
  const keyOf = (streamId: string) => `${keyPrefix}:${streamId}`;

  async function statusOf(key: string): Promise<null | true | "DONE"> {
    try {
      const { status } = await client.streamInfo(key);
      return status === "active" ? true : "DONE";
    } catch (error) {
      if (hasCode(error, "stream-not-found")) return null;
      throw error;
    }
  }

  /** Throws `existing-stream` when a stream of this name is being written. */
  async function create(
    key: string,
    makeStream: () => ReadableStream<string>,
  ): Promise<ReadableStream<string>> {
    await client.createStream(key, { ttl, max_events: maxEvents });
    let source: ReadableStream<string>;
    try {
      source = makeStream();
    } catch (error) {
      await client.cancelStream(key);
      throw error;
    }
    const { text, done } = produce(client.publish(key), source);
    // The reader receives a failure. Other code learns of it by `waitUntil`.
    if (waitUntil) waitUntil(done);
    else done.catch(() => {});
    return text;
  }

  async function resume(
    key: string,
    skipCharacters = 0,
  ): Promise<ReadableStream<string> | null | undefined> {
    const status = await statusOf(key);
    if (status === null) return undefined;
    return status === "DONE" ? null : read(client.subscribe(key), skipCharacters);
  }

  return {
    resumeExistingStream: (streamId, skipCharacters) => resume(keyOf(streamId), skipCharacters),

    hasExistingStream: (streamId) => statusOf(keyOf(streamId)),

    async createNewResumableStream(streamId, makeStream) {
      const key = keyOf(streamId);
      if ((await statusOf(key)) === true) {
        await client.cancelStream(key).catch((error) => {
          // The stream was finished meanwhile. An older broker says no more.
          if (!hasCode(error, "no-active-stream")) throw error;
        });
      }
      return create(key, makeStream);
    },

    async resumableStream(streamId, makeStream, skipCharacters) {
      const key = keyOf(streamId);
      const existing = await resume(key, skipCharacters);
      if (existing !== undefined) return existing;
      try {
        return await create(key, makeStream);
      } catch (error) {
        // Another call has made the stream meanwhile.
        if (!hasCode(error, "existing-stream")) throw error;
        return (await resume(key, skipCharacters)) ?? null;
      }
    },
  };
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof ApiError && error.code === code;
}
