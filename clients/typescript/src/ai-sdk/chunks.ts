import type { UIMessageChunk } from "ai";
import { SubscribeError } from "../errors.js";
import type { StreamEvent } from "../subscribe/event.js";
import { missedError } from "../subscribe/missed.js";
import type { Subscription } from "../subscribe/subscription.js";
import { chunksOfMessage } from "./restore.js";
import { CHUNK_EVENT, ChunkDecoder, CONTINUED_EVENT, MessageDecoder } from "./wire.js";

/**
 * The chunks of an answer, as the AI SDK reads them. The stream closes when the answer is complete
 * or was stopped; then its last chunk is `abort`. Otherwise it fails with a `SubscribeError`, an
 * `ApiError`, or the reason of the subscription's signal. With `isReplay` it also has the chunks of
 * the message that the answer continues. `closed` is called when it is over.
 */
export function readChunks(
  subscription: Subscription,
  isReplay: boolean,
  closed: () => void,
): ReadableStream<UIMessageChunk> {
  const reader = new ChunkReader(isReplay);
  let last: StreamEvent | undefined;
  const pull = async (controller: ReadableStreamDefaultController<UIMessageChunk>) => {
    for (;;) {
      const next = await subscription.next();
      if (next.done) break;
      last = next.value;
      if (last.missed) throw missedError(last.missed);
      const chunks = reader.take(last);
      for (const chunk of chunks) controller.enqueue(chunk);
      if (chunks.length > 0) return;
    }
    const failure = brokenOff(subscription, last);
    if (failure) throw failure;
    if (subscription.status === "cancelled") controller.enqueue(abortChunk(subscription));
    closed();
    controller.close();
  };
  let failure: { error: unknown } | undefined;
  const fail = async (error: unknown) => {
    closed();
    await subscription.return();
    throw error;
  };
  return new ReadableStream<UIMessageChunk>(
    {
      async pull(controller) {
        if (failure) return fail(failure.error);
        try {
          await pull(controller);
        } catch (error) {
          const chunks = reader.breakOff();
          if (chunks.length === 0) return fail(error);
          // An error would discard the chunks that nobody has read yet.
          failure = { error };
          for (const chunk of chunks) controller.enqueue(chunk);
        }
      },
      async cancel() {
        closed();
        await subscription.return();
      },
    },
    // Nothing is requested from the broker before somebody reads.
    { highWaterMark: 0 },
  );
}

type ToolInputStart = UIMessageChunk & { type: "tool-input-start" };

/** Makes chunks of events. */
class ChunkReader {
  readonly #chunks = new ChunkDecoder();
  readonly #messages: MessageDecoder | undefined;
  /** What follows the first chunk. */
  #before: UIMessageChunk[] = [];
  /** The calls of tools whose input is not complete, by id. */
  readonly #openCalls = new Map<string, ToolInputStart>();

  constructor(isReplay: boolean) {
    this.#messages = isReplay ? new MessageDecoder() : undefined;
  }

  take({ event, data }: StreamEvent): UIMessageChunk[] {
    if (event === CONTINUED_EVENT) {
      const message = this.#messages?.decode(data);
      if (message) this.#before = chunksOfMessage(message);
    }
    const chunk = event === CHUNK_EVENT ? this.#chunks.decode(data) : undefined;
    if (!chunk) return [];
    if (chunk.type === "tool-input-start") this.#openCalls.set(chunk.toolCallId, chunk);
    else if (chunk.type === "tool-input-available" || chunk.type === "tool-input-error")
      this.#openCalls.delete(chunk.toolCallId);
    return [chunk, ...this.#before.splice(0)];
  }

  /**
   * The last chunks of an answer that broke off: calls whose input is not complete have failed.
   * Otherwise `useChat` of `@ai-sdk/react` 3 shows a message twice when it resumes it.
   */
  breakOff(): UIMessageChunk[] {
    const calls = [...this.#openCalls.values()];
    this.#openCalls.clear();
    return calls.map(({ toolCallId, toolName, dynamic }) => ({
      type: "tool-input-error",
      toolCallId,
      toolName,
      input: undefined,
      errorText: "The answer broke off",
      ...(dynamic === undefined ? {} : { dynamic }),
    }));
  }
}

/** The error for a page whose answer is not complete. Its message is for the person who reads. */
function brokenOff(
  { status, reason }: Subscription,
  last: StreamEvent | undefined,
): SubscribeError | undefined {
  if (status === "failed")
    return new SubscribeError(
      "stream-failed",
      reason?.message || "The answer failed",
      undefined,
      last,
    );
  if (status === "abandoned")
    return new SubscribeError(
      "stream-abandoned",
      "The answer broke off: its producer went silent",
      undefined,
      last,
    );
  return undefined;
}

function abortChunk({ reason }: Subscription): UIMessageChunk {
  return reason?.reason === undefined
    ? { type: "abort" }
    : { type: "abort", reason: reason.reason };
}
