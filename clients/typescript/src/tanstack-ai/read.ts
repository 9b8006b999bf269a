import type { StreamChunk } from "@tanstack/ai";
import { EntryDecoder } from "../entries/encode.js";
import { numberOf, type Place, type Position, positionOf } from "../entries/position.js";
import { EntryReader, START } from "../entries/reader.js";
import { ApiError } from "../errors.js";
import type { StreamState } from "../generated/openapi.js";
import type { Missed } from "../subscribe/event.js";
import { failureError } from "../subscribe/failure.js";
import { missedError } from "../subscribe/missed.js";
import { sleep } from "../timeout.js";
import { RunError } from "./errors.js";
import { type BrokerOffset, offsetOf, parseOffset } from "./offset.js";
import { CHUNK_EVENT, type RunLog } from "./producer.js";

/** Milliseconds between two looks for a run that does not exist yet. */
const PAUSE = 100;

/** A chunk of a run, and where it is in the log. */
export interface StoredChunk {
  offset: BrokerOffset;
  chunk: StreamChunk;
}

/** Where a reader starts: at the first chunk, at the next one, or after an offset. */
type Start = "-1" | "now" | Place;

/**
 * Yields the chunks after the offset until the producer closes the log, or the signal is aborted.
 * Throws when the run broke off: a `SubscribeError` `stream-failed` or `stream-abandoned`, or an
 * `AbortError` when it was stopped. A run whose log says so with a last `RUN_ERROR` just ends.
 */
export async function* readRun(
  log: RunLog,
  offset: string,
  signal: AbortSignal,
): AsyncGenerator<StoredChunk, void, void> {
  try {
    yield* follow(log, offset === "-1" || offset === "now" ? offset : parseOffset(offset), signal);
  } catch (error) {
    // The reader has left.
    if (!signal.aborted) throw error;
  }
}

async function* follow(
  log: RunLog,
  start: Start,
  signal: AbortSignal,
): AsyncGenerator<StoredChunk, void, void> {
  const { client } = log.options;
  const state = await stateOf(log, start, signal);
  const { generation } = state;
  const after = positionIn(state, start);
  const reader = new EntryReader(client, log.key, after, [CHUNK_EVENT], signal);
  let last: StreamChunk | undefined;
  for await (const { data, id } of reader.read()) {
    last = JSON.parse(data) as StreamChunk;
    yield { offset: offsetOf({ generation, position: positionOf(id) }), chunk: last };
  }
  const status = reader.status ?? (await client.streamInfo(log.key, { signal })).status;
  if (status === "ended" || last?.type === "RUN_ERROR") return;
  const isTerminal = last?.type === "RUN_FINISHED";
  if (status === "cancelled" && !isTerminal)
    throw new DOMException("The run was stopped", "AbortError");
  const failure = failureError(status as "failed" | "abandoned", reader.last);
  if (failure) throw failure;
}

/** Where to continue in this stream. Throws a `RunError` when the offset is of another one. */
function positionIn({ generation, last_id }: StreamState, start: Start): Position {
  if (start === "-1") return START;
  if (start === "now") return positionOf(last_id);
  if (start.generation === generation) return start.position;
  throw new RunError("run-not-found", "The log that the offset belongs to exists no more");
}

/** The stream of the run. Readers that start wait for it. */
async function stateOf(log: RunLog, start: Start, signal: AbortSignal): Promise<StreamState> {
  const { client, firstChunkDeadlineMs } = log.options;
  const waits = typeof start === "string" ? firstChunkDeadlineMs : 0;
  const giveUpAt = performance.now() + waits;
  for (;;) {
    const state = await client.streamInfo(log.key, { signal }).catch(notFound);
    if (state) return state;
    if (performance.now() >= giveUpAt)
      throw new RunError("run-not-found", `There is no run ${JSON.stringify(log.runId)}`);
    await sleep(Math.min(PAUSE, giveUpAt - performance.now()), signal);
  }
}

/** What is stored of the run now. Throws a `SubscribeError` `missed` when its start is not. */
export async function snapshotOf({ key, options: { client } }: RunLog): Promise<StoredChunk[]> {
  const state = await client.streamInfo(key).catch(notFound);
  const events = state && (await client.streamEvents(key).catch(notFound));
  if (!events) return [];
  const first = events[0]?.id ?? null;
  const missed = first === null ? 0 : numberOf(first);
  if (missed > 0) throw missedError({ after: null, first, missed } satisfies Missed);
  const decoder = new EntryDecoder([CHUNK_EVENT]);
  const chunks: StoredChunk[] = [];
  for (const { event, data, id } of events) {
    const entry = decoder.push(event, data ?? "");
    if (!entry) continue;
    const offset = offsetOf({ generation: state.generation, position: positionOf(id) });
    chunks.push({ offset, chunk: JSON.parse(entry.data) as StreamChunk });
  }
  return chunks;
}

function notFound(error: unknown): undefined {
  if (error instanceof ApiError && error.code === "stream-not-found") return undefined;
  throw error;
}
