import type { StreamChunk } from "@tanstack/ai";
import { failureMessage } from "../entries/failure.js";
import { whenOver } from "../entries/over.js";
import { EntryWriter } from "../entries/writer.js";
import { ApiError, StoppedError } from "../errors.js";
import { RunError } from "./errors.js";
import { type BrokerOffset, offsetOf } from "./offset.js";
import type { LogOptions } from "./options.js";

/** The name of the events that carry chunks. */
export const CHUNK_EVENT = "chunk";

/** The log of a run. */
export interface RunLog {
  runId: string;
  key: string;
  options: LogOptions;
}

/** The stream of a run, as its producer has opened it. */
interface OpenLog {
  generation: string;
  entries: EntryWriter;
  /** Called before this producer finishes the stream itself. */
  release: () => void;
}

/** Writes the chunks of a run into its log. */
export class RunProducer {
  readonly #log: RunLog;
  readonly #continues: boolean;
  readonly #stopped: (reason: unknown) => void;
  #opened: Promise<OpenLog> | undefined;
  /** The last terminal chunk, if it says that the run failed. */
  #failure: { message: string; isAborted: boolean } | undefined;

  /**
   * `continues`: an active run is written on, instead of being an error. `stopped` is called when
   * nobody gets what the model would still make: with a `StoppedError`, or with the error of the
   * writer. It is called once at most.
   */
  constructor(log: RunLog, continues: boolean, stopped: (reason: unknown) => void) {
    this.#log = log;
    this.#continues = continues;
    this.#stopped = stopped;
  }

  /** Stores chunks, and returns their offsets. The first call creates the stream of the run. */
  async append(chunks: readonly StreamChunk[]): Promise<BrokerOffset[]> {
    this.#opened ??= this.#open();
    const { generation, entries } = await this.#opened;
    for (const chunk of chunks) this.#note(chunk);
    const positions = await entries.append(
      chunks.map((chunk) => ({ name: CHUNK_EVENT, data: JSON.stringify(chunk) })),
    );
    return positions.map((position) => offsetOf({ generation, position }));
  }

  /**
   * Finishes the stream: it is cancelled after a stop, failed when the last terminal chunk is a
   * `RUN_ERROR`, and ended otherwise. Does nothing when the stream is that of another producer.
   */
  async close(): Promise<void> {
    this.#opened ??= this.#open();
    const log = await this.#opened.catch(() => undefined);
    // `append` has thrown the error. The stream belongs to somebody else, or there is none.
    if (!log) return;
    log.release();
    const { writer } = log.entries;
    const isStopped = writer.signal.reason instanceof StoppedError;
    if (this.#failure?.isAborted) await writer.cancel(isStopped ? {} : { reason: "aborted" });
    else if (this.#failure) await writer.fail({ message: failureMessage(this.#failure.message) });
    // Cancels the stream if the producer was asked to stop.
    else await writer.run(() => {});
  }

  async #open(): Promise<OpenLog> {
    const { runId, key, options } = this.#log;
    const { client, lease, stream } = options;
    const taken = {
      if_exists: this.#continues ? "attach" : "error",
      if_finished: "error",
    } as const;
    const { generation = "", created } = await client
      .createStream(key, { ...stream, ...taken, lease })
      .catch((error) => {
        const isTaken = error instanceof ApiError && error.code === "existing-stream";
        if (!isTaken) throw error;
        throw new RunError("run-exists", `The run ${JSON.stringify(runId)} exists already`, error);
      });
    const lastId = created ? undefined : (await client.streamInfo(key)).last_id;
    const entries = new EntryWriter(client, key, {
      generation,
      lease,
      lastId,
      writeAfterStop: true,
    });
    return { generation, entries, release: whenOver(entries.writer, this.#stopped) };
  }

  /** An agent writes several terminal chunks. The last one says how the run ended. */
  #note(chunk: StreamChunk): void {
    if (chunk.type === "RUN_STARTED" || chunk.type === "RUN_FINISHED") this.#failure = undefined;
    if (chunk.type === "RUN_ERROR")
      this.#failure = { message: chunk.message, isAborted: chunk.code === "aborted" };
  }
}
