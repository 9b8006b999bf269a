import { type ResumableStreamEntry, ResumableStreamError } from "assistant-stream/resumable";
import { type Position, parsePlace, placeText, positionOf } from "../entries/position.js";
import { EntryReader, START } from "../entries/reader.js";
import type { FinalStatus } from "../subscribe/event.js";
import { failureError } from "../subscribe/failure.js";
import { reasonOf, type StreamReason } from "../subscribe/reason.js";
import { bytesOf, CHUNK_EVENTS } from "./bytes.js";
import type { StoreOptions } from "./options.js";
import type { Streams } from "./streams.js";

/** What a reader reads. */
export interface Reading {
  streamId: string;
  key: string;
  /** The cursor of an entry. Empty at the start. */
  cursor: string;
  signal: AbortSignal;
}

/**
 * Yields the entries after the cursor until the stream is finished or deleted, or the signal is
 * aborted. Throws a `ResumableStreamError` `missing` when there is no stream, or it has expired.
 * Throws an `Error` when the stream broke off. Its `cause` is a `SubscribeError`.
 */
export async function* readStream(
  streams: Streams,
  { client }: Pick<StoreOptions, "client">,
  reading: Reading,
): AsyncGenerator<ResumableStreamEntry, void, void> {
  const { streamId, key, signal } = reading;
  if (signal.aborted) return;
  const state = await streams.find(key);
  if (!state) throw new ResumableStreamError("missing", `Stream not found: ${streamId}`);
  const { generation } = state;
  const after = positionIn(generation, reading);
  const reader = new EntryReader(client, key, after, CHUNK_EVENTS, signal);
  try {
    for await (const { id, ...entry } of reader.read()) {
      yield { cursor: placeText({ generation, position: positionOf(id) }), chunk: bytesOf(entry) };
    }
  } catch (error) {
    if (signal.aborted || (await isDeleted(streams, reading, generation))) return;
    throw error;
  }
  if (signal.aborted) return;
  if (reader.status) return throwFailure(reader.status, reasonOf(reader.last?.data), reader);
  // Nothing followed the cursor.
  if (await isDeleted(streams, reading, generation)) return;
  const { status, reason } = (await streams.find(key)) ?? state;
  throwFailure(status, reason as StreamReason | null, reader);
}

/** Whether the stream was deleted. Throws a `ResumableStreamError` when it has expired. */
async function isDeleted(
  streams: Streams,
  { streamId, key }: Reading,
  generation: string,
): Promise<boolean> {
  if (await streams.isDeleted(key)) return true;
  if ((await streams.find(key))?.generation === generation) return false;
  throw new ResumableStreamError("missing", `Stream expired: ${streamId}`);
}

/** The message is that of the producer, as with assistant-ui's own stores. */
function throwFailure(status: string, reason: StreamReason | null, { last }: EntryReader): void {
  const failure = failureError(status as FinalStatus, last);
  if (failure) throw new Error(reason?.message || failure.message, { cause: failure });
}

/** Where to continue in this stream. */
function positionIn(generation: string, { cursor, streamId }: Reading): Position {
  if (cursor === "") return START;
  const place = parsePlace(cursor);
  if (!place) throw new TypeError(`Not a cursor of this store: ${JSON.stringify(cursor)}`);
  if (place.generation === generation) return place.position;
  throw new ResumableStreamError("missing", `Stream superseded by a new acquisition: ${streamId}`);
}
