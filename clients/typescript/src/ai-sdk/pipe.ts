import { generateId, type UIMessage, type UIMessageChunk } from "ai";
import { StoppedError } from "../errors.js";
import { pipe } from "../publish/pipe.js";
import type { Writer } from "../publish/writer.js";
import { linked } from "../timeout.js";
import { Assembler } from "./assembler.js";
import { ChatError } from "./errors.js";
import { CHUNK_EVENT, CONTINUED_EVENT, encodeChunk, encodeMessage } from "./wire.js";

/** How to write an answer. */
export interface PipeOptions<M extends UIMessage> {
  /** The messages that the answer belongs to. If the last one is an assistant's, it is continued. */
  messages?: M[] | undefined;
  /** The id of the answer's message, unless the stream has one. A random one. */
  messageId?: string | undefined;
  /** Ends the writing. `writer.signal`. */
  signal?: AbortSignal | undefined;
}

/** How the writing of an answer ended. */
export interface PipedAnswer<M extends UIMessage> {
  /** `ended`: it is complete. `stopped`: somebody asked for it. `failed`: `error` says why. */
  status: "ended" | "stopped" | "failed";
  /** The answer, as far as it was written. Undefined when nothing was written. */
  message: M | undefined;
  /** What the page gets to see of an error that the model's stream has reported. */
  errorText?: string | undefined;
  /** The error that broke the answer off, unless the stream has reported it. */
  error?: unknown;
}

/**
 * Writes the chunks of a UI message stream until it ends, or until the producer is asked to stop.
 * It then cancels the stream. It does not finish the writer's stream, and throws no error: the
 * result says how it ended. `message` is exactly what was written.
 *
 * A chunk `error` is not written: fail the stream with its text.
 */
export async function pipeUIMessageStream<M extends UIMessage = UIMessage>(
  writer: Writer,
  stream: ReadableStream<UIMessageChunk>,
  { messages = [], messageId, signal = writer.signal }: PipeOptions<M> = {},
): Promise<PipedAnswer<M>> {
  const continued = continuedMessage(messages);
  const answer = new AnswerWriter<M>(writer, continued, messageId ?? generateId());
  let error: unknown;
  try {
    if (continued) await answer.writeContinued(continued);
    await pipe(stream, (chunk) => answer.write(chunk as UIMessageChunk), signal);
  } catch (thrown) {
    error = thrown;
    // Unless it was read: it is cancelled then.
    if (!stream.locked) await stream.cancel(thrown).catch(() => {});
  }
  const { message, error: invalid } = await answer.end();
  if (error instanceof StoppedError || writer.signal.reason instanceof StoppedError)
    return { status: "stopped", message };
  error ??= invalid;
  if (error !== undefined) return { status: "failed", message, error };
  const { errorText } = answer;
  return errorText === undefined
    ? { status: "ended", message }
    : { status: "failed", message, errorText };
}

/**
 * Aborted when the writer's signal is, and when the stream is finished elsewhere: nobody gets what
 * the model would still make. `release` ends that.
 */
export function answerSignal(writer: Writer): { signal: AbortSignal; release: () => void } {
  const { controller, unlink } = linked(writer.signal);
  let isReleased = false;
  const release = () => {
    isReleased = true;
    unlink();
  };
  const watch = async () => {
    const signals = writer.signals();
    while (!(await signals.next()).done);
    if (!isReleased)
      controller.abort(
        new ChatError("answer-over", "The stream of the answer is finished already"),
      );
  };
  // A writer that hears no signals goes on, and has logged why.
  watch().catch(() => {});
  return { signal: controller.signal, release };
}

/** The last message, if it is one of an assistant: the answer continues it, after a tool call. */
export function continuedMessage<M extends UIMessage>(messages: readonly M[]): M | undefined {
  const last = messages.at(-1);
  return last?.role === "assistant" ? last : undefined;
}

/** Writes chunks as events, and assembles the message of those that are written. */
class AnswerWriter<M extends UIMessage> {
  /** The text of the first chunk `error`. */
  errorText: string | undefined;
  readonly #writer: Writer;
  readonly #assembler: Assembler<M>;
  readonly #messageId: string;
  /** The id that the page knows. */
  #startedId: string | undefined;
  /** Whether there was nothing but the start. */
  #isEmpty = true;

  constructor(writer: Writer, continued: M | undefined, messageId: string) {
    this.#writer = writer;
    this.#assembler = new Assembler<M>(continued);
    this.#messageId = continued?.id ?? messageId;
  }

  async writeContinued(message: M): Promise<void> {
    for (const data of encodeMessage(message)) await this.#writer.write(CONTINUED_EVENT, data);
  }

  async write(chunk: UIMessageChunk): Promise<void> {
    if (chunk.type === "error") {
      this.errorText ??= chunk.errorText;
      return;
    }
    for (const ready of this.#withId(chunk)) {
      for (const data of encodeChunk(ready)) await this.#writer.write(CHUNK_EVENT, data);
      this.#assembler.add(ready);
      if (ready.type !== "start") this.#isEmpty = false;
    }
  }

  async end(): Promise<{ message: M | undefined; error?: unknown }> {
    const assembled = await this.#assembler.end();
    return this.#isEmpty ? { ...assembled, message: undefined } : assembled;
  }

  /**
   * The answer begins with a `start`, and all of them have the same id. Without one, a page that
   * reads the answer again would show it twice.
   */
  #withId(chunk: UIMessageChunk): UIMessageChunk[] {
    if (chunk.type === "start") {
      this.#startedId ??= chunk.messageId ?? this.#messageId;
      return [{ ...chunk, messageId: this.#startedId }];
    }
    if (this.#startedId !== undefined) return [chunk];
    this.#startedId = this.#messageId;
    return [{ type: "start", messageId: this.#startedId }, chunk];
  }
}
