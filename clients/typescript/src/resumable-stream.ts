import type { ClientOptions } from "./api.js";
import { Client } from "./client.js";
import { ApiError } from "./errors.js";
import { produce, read } from "./resumable-stream/streams.js";

/** Where the streams are, and how they are kept. */
export type CreateResumableStreamContextOptions = ({ client: Client } | ClientOptions) & {
  /** The prefix of the streams' keys, before a colon. `resumable-stream`. */
  keyPrefix?: string | undefined;
  /**
   * Takes a promise and keeps the program alive until it is settled, as `after` of Next.js does.
   * null where programs live on by themselves.
   */
  waitUntil: ((promise: Promise<unknown>) => void) | null;
  /**
   * Seconds that a stream is known after its last text: until then a finished one is `"DONE"`.
   * 86,400.
   */
  ttl?: number | undefined;
  /**
   * How many chunks a stream keeps, about. A stream of more can't be resumed from its beginning.
   * 1,000,000, the broker's most.
   */
  maxEvents?: number | undefined;
};

/**
 * Streams of text that can be read more than once, and from any place on, while they are written.
 */
export interface ResumableStreamContext {
  /**
   * Makes a stream, or resumes the one that is there.
   *
   * @param streamId A name that no other stream has.
   * @param makeStream Makes the text; called only when there is no stream of this name.
   * @param skipCharacters How many UTF-16 code units to leave out when a stream is resumed; a new
   * one comes from its beginning.
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
   * @returns The text; null when the stream is finished; undefined when there is none of this name.
   */
  resumeExistingStream(
    streamId: string,
    skipCharacters?: number,
  ): Promise<ReadableStream<string> | null | undefined>;
  /**
   * Makes a stream, in the place of another of this name.
   *
   * @param skipCharacters Means nothing for a new stream; it is here because others have it.
   * @returns The text.
   */
  createNewResumableStream(
    streamId: string,
    makeStream: () => ReadableStream<string>,
    skipCharacters?: number,
  ): Promise<ReadableStream<string> | null>;
  /** @returns true when there is a stream of this name, `"DONE"` when it is finished, null when there is none. */
  hasExistingStream(streamId: string): Promise<null | true | "DONE">;
}

/**
 * Takes the place of the function of the same name of the package `resumable-stream`: the broker
 * keeps the text, instead of the process that made it.
 *
 * A stream is written to its end also when nobody reads it any more. When `makeStream`'s stream
 * fails, or the broker can't take the text, all readers get an error. Calls throw the errors of
 * `Client`.
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
    // The reader is told of a failure; whoever else wants to know has `waitUntil`.
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
          // It was finished meanwhile.
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
        // Another call made it meanwhile.
        if (!hasCode(error, "existing-stream")) throw error;
        return (await resume(key, skipCharacters)) ?? null;
      }
    },
  };
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof ApiError && error.code === code;
}
