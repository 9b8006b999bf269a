import { withTimeout } from "../timeout.js";

/** What can be piped. */
export type Source = AsyncIterable<unknown> | Iterable<unknown> | ReadableStream<unknown>;

/** Reads the chunks of a source. */
interface Chunks {
  next(): Promise<IteratorResult<unknown, unknown>>;
  /** Closes the source. */
  close(reason: unknown): Promise<unknown>;
}

/**
 * Writes each chunk of the source. Closes the source when a write fails, or when the signal is
 * aborted. It throws the write's error, the signal's reason, or the source's own error.
 */
export async function pipe(
  source: Source,
  write: (chunk: unknown) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const chunks = chunksOf(source);
  for (;;) {
    const next = await withTimeout<IteratorResult<unknown, unknown>>(
      Number.POSITIVE_INFINITY,
      signal,
      (resolve, reject) => void chunks.next().then(resolve, reject),
    ).catch((error) => {
      // A generator that waits closes when its wait ends. Nobody has to wait for that.
      if (signal.aborted) chunks.close(error).catch(() => {});
      throw error;
    });
    if (next.done) return;
    await write(next.value).catch(async (error) => {
      // The error of the write says more than that of the close.
      await chunks.close(error).catch(() => {});
      throw error;
    });
  }
}

function chunksOf(source: Source): Chunks {
  const { getReader } = source as Partial<ReadableStream<unknown>>;
  if (getReader) {
    // Its reader can be cancelled while it waits. Its iterator can't.
    const reader = (source as ReadableStream<unknown>).getReader();
    const next = async () => {
      const result = await reader.read();
      if (result.done) reader.releaseLock();
      return result as IteratorResult<unknown, unknown>;
    };
    return { next, close: (reason) => reader.cancel(reason) };
  }
  const iterator =
    (source as AsyncIterable<unknown>)[Symbol.asyncIterator]?.() ??
    awaiting(source as Iterable<unknown>);
  return { next: async () => iterator.next(), close: async () => iterator.return?.() };
}

/** Awaits the promises of an iterable, as `for await` does. */
async function* awaiting(source: Iterable<unknown>): AsyncGenerator<unknown, void, void> {
  for (const chunk of source) yield await chunk;
}
