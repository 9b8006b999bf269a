import { readUIMessageStream, type UIMessage, type UIMessageChunk } from "ai";

/** A chunk that adds text to a part. */
type Delta = UIMessageChunk & { type: "text-delta" | "reasoning-delta" };

/** Assembles a message from the chunks that were stored, so that it can be saved. */
export class Assembler<M extends UIMessage> {
  readonly #message: Promise<{ message: M | undefined; error?: unknown }>;
  #input: ReadableStreamDefaultController<UIMessageChunk> | undefined;
  /** Deltas of one part are joined first, because the AI SDK copies the message for each chunk. */
  #delta: Delta | undefined;

  /** `continued` is the message that the chunks continue, if they do. */
  constructor(continued: M | undefined) {
    const stream = new ReadableStream<UIMessageChunk>({
      start: (controller) => {
        this.#input = controller;
      },
    });
    const message = continued && structuredClone(continued);
    this.#message = lastOf<M>(stream, message);
  }

  /** Adds a chunk. */
  add(chunk: UIMessageChunk): void {
    if (isDelta(chunk) && this.#delta && isSamePart(this.#delta, chunk)) {
      this.#delta = { ...this.#delta, delta: this.#delta.delta + chunk.delta };
      return;
    }
    this.#flush();
    if (isDelta(chunk)) this.#delta = chunk;
    else this.#enqueue(chunk);
  }

  /** The message, if there is one, and the error of a chunk that does not belong to it. */
  end(): Promise<{ message: M | undefined; error?: unknown }> {
    this.#flush();
    try {
      this.#input?.close();
    } catch {
      // The AI SDK has refused a chunk. The result has its error.
    }
    return this.#message;
  }

  #flush(): void {
    if (this.#delta) this.#enqueue(this.#delta);
    this.#delta = undefined;
  }

  #enqueue(chunk: UIMessageChunk): void {
    try {
      this.#input?.enqueue(chunk);
    } catch {
      // As above.
    }
  }
}

async function lastOf<M extends UIMessage>(
  stream: ReadableStream<UIMessageChunk>,
  continued: M | undefined,
): Promise<{ message: M | undefined; error?: unknown }> {
  let message = continued;
  const reader = readUIMessageStream<M>({
    stream,
    terminateOnError: true,
    ...(continued && { message: continued }),
  }).getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read())
      message = next.value;
  } catch (error) {
    return { message, error };
  }
  return { message };
}

function isDelta(chunk: UIMessageChunk): chunk is Delta {
  return chunk.type === "text-delta" || chunk.type === "reasoning-delta";
}

function isSamePart(first: Delta, second: Delta): boolean {
  return (
    first.type === second.type &&
    first.id === second.id &&
    JSON.stringify(first.providerMetadata) === JSON.stringify(second.providerMetadata)
  );
}
