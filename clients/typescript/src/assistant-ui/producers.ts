import { ResumableStreamError, type ResumableStreamLease } from "assistant-stream/resumable";
import { failureMessage } from "../entries/failure.js";
import { whenOver } from "../entries/over.js";
import { EntryWriter } from "../entries/writer.js";
import { PublishError, StoppedError } from "../errors.js";
import type { StreamState } from "../generated/openapi.js";
import type { Writer } from "../publish/writer.js";
import { entryOf } from "./bytes.js";
import type { StoreOptions } from "./options.js";
import type { Streams } from "./streams.js";

/** Why a producer can't write any more. The messages are those of assistant-ui's own stores. */
const LOSSES = {
  missing: ["missing", "Stream not found"],
  superseded: ["missing", "Stream superseded by a new acquisition"],
  finalized: ["finalized", "Stream already finalized"],
} as const;
type Loss = keyof typeof LOSSES;

/** A stream that is written here. */
interface Producer {
  entries: EntryWriter;
  /** Aborted when nobody gets what the producer would still make. */
  signal: AbortSignal;
  /** Called before the stream is finished here. */
  release: () => void;
}

/** What a call is about. */
export interface Target {
  streamId: string;
  key: string;
  lease: ResumableStreamLease | undefined;
}

/** Writes the streams of a store. The lease of a producer is the generation of its stream. */
export class Producers {
  readonly #options: StoreOptions;
  readonly #streams: Streams;
  /** By generation. */
  readonly #producers = new Map<string, Producer>();
  /** The generation of each stream that was acquired here and not finished. */
  readonly #acquired = new Map<string, string>();

  constructor(options: StoreOptions, streams: Streams) {
    this.#options = options;
    this.#streams = streams;
  }

  /** The caller has created this stream. */
  acquired({ streamId, key }: Omit<Target, "lease">, generation: string): void {
    this.#forget(streamId, this.#acquired.get(streamId));
    this.#acquired.set(streamId, generation);
    this.#open(key, generation, undefined);
  }

  /** Throws a `ResumableStreamError` `missing` when the stream was not acquired here. */
  signalOf(streamId: string): AbortSignal {
    const producer = this.#producers.get(this.#acquired.get(streamId) ?? "");
    if (producer) return producer.signal;
    throw new ResumableStreamError("missing", `This store does not produce ${streamId}`);
  }

  /**
   * Stores a chunk. Throws a `ResumableStreamError` `missing` or `finalized`, a `StoppedError`
   * after a stop, or another `PublishError`.
   */
  async append(target: Target, chunk: Uint8Array): Promise<void> {
    const { entries } = this.#known(target) ?? (await this.#attach(target));
    try {
      await entries.append([entryOf(chunk)]);
    } catch (error) {
      const loss = error instanceof PublishError ? await this.#loss(target) : undefined;
      // A stream that was deleted was also cancelled.
      const isStop = error instanceof StoppedError && loss === "finalized";
      throw loss && !isStop ? lossError(loss, target.streamId) : error;
    }
  }

  /**
   * Finishes a stream: it is cancelled after a stop, failed with an error, and ended otherwise.
   * Returns whether this call did it. Throws a `ResumableStreamError` `missing` when there is no
   * stream.
   */
  async finalize(target: Target, error: string | undefined): Promise<boolean> {
    const { streamId } = target;
    try {
      const loss = await this.#loss(target);
      if (loss) return isFinalized(loss, streamId);
      const { entries, release } = this.#known(target) ?? (await this.#attach(target));
      release();
      await finish(entries.writer, error);
      return true;
    } catch (failure) {
      const loss = failure instanceof PublishError ? await this.#loss(target) : undefined;
      if (loss) return isFinalized(loss, streamId);
      throw failure;
    } finally {
      this.#forget(streamId, target.lease?.token ?? this.#acquired.get(streamId));
    }
  }

  /** The producer that the caller means, if its stream is written here. */
  #known({ streamId, lease }: Target): Producer | undefined {
    return this.#producers.get(lease?.token ?? this.#acquired.get(streamId) ?? "");
  }

  /** The same, for a stream that was acquired elsewhere. */
  async #attach(target: Target): Promise<Producer> {
    const { key, streamId } = target;
    const state = await this.#streams.find(key);
    const loss = this.#lossIn(target, state);
    if (loss || !state) throw lossError(loss ?? "missing", streamId);
    return (
      this.#producers.get(state.generation) ?? this.#open(key, state.generation, state.last_id)
    );
  }

  /** Why the caller can't write to its stream. */
  async #loss(target: Target): Promise<Loss | undefined> {
    return this.#lossIn(target, await this.#streams.find(target.key));
  }

  #lossIn({ streamId, lease }: Target, state: StreamState | undefined): Loss | undefined {
    if (!state) return "missing";
    const owned = lease?.token ?? this.#acquired.get(streamId) ?? state.generation;
    if (owned !== state.generation) return "superseded";
    return state.status === "active" ? undefined : "finalized";
  }

  #open(key: string, generation: string, lastId: string | undefined): Producer {
    const { client, lease } = this.#options;
    const entries = new EntryWriter(client, key, { generation, lease, lastId });
    const over = new AbortController();
    const release = whenOver(entries.writer, (reason) => over.abort(reason));
    const producer = { entries, signal: over.signal, release };
    this.#producers.set(generation, producer);
    return producer;
  }

  #forget(streamId: string, generation: string | undefined): void {
    if (generation === undefined) return;
    this.#producers.delete(generation);
    if (this.#acquired.get(streamId) === generation) this.#acquired.delete(streamId);
  }
}

async function finish(writer: Writer, error: string | undefined): Promise<void> {
  if (writer.signal.reason instanceof StoppedError) await writer.cancel();
  else if (error === undefined) await writer.finish();
  else await writer.fail({ message: failureMessage(error) });
}

/** Nothing was finished. Throws when there is no stream at all. */
function isFinalized(loss: Loss, streamId: string): false {
  if (loss === "missing") throw lossError(loss, streamId);
  return false;
}

function lossError(loss: Loss, streamId: string): ResumableStreamError {
  const [code, what] = LOSSES[loss];
  return new ResumableStreamError(code, `${what}: ${streamId}`);
}
