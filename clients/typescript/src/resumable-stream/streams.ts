import { SubscribeError } from "../errors.js";
import type { Writer } from "../publish/writer.js";
import type { StreamEvent } from "../subscribe/event.js";
import { failureError } from "../subscribe/failure.js";
import type { Subscription } from "../subscribe/subscription.js";
import { TextPieces } from "./text.js";

/** The name of the events that carry text. */
const TEXT_EVENT = "text";

/**
 * Writes the text of `source` to its end, also when it is not read here, and finishes the stream.
 * `text` is for the reader here. `done` is settled when the stream is finished, and rejected when
 * it is not complete.
 */
export function produce(
  writer: Writer,
  source: ReadableStream<string>,
): { text: ReadableStream<string>; done: Promise<void> } {
  let reader: ReadableStreamDefaultController<string> | undefined;
  const text = new ReadableStream<string>({
    start(controller) {
      reader = controller;
    },
    cancel() {
      reader = undefined;
    },
  });
  const done = writer
    .run(async () => {
      const pieces = new TextPieces();
      // JSON, because server-sent events would turn a CR into a LF.
      const write = async (texts: string[]) => {
        for (const piece of texts) await writer.write(TEXT_EVENT, JSON.stringify(piece));
      };
      const chunks = source.getReader();
      for (let next = await chunks.read(); !next.done; next = await chunks.read()) {
        reader?.enqueue(next.value);
        await write(pieces.push(next.value));
      }
      await write(pieces.end());
      return true;
    })
    .then((isComplete) => {
      // The producer was asked to stop.
      if (!isComplete) throw new Error("The stream was cancelled before its end");
      reader?.close();
    })
    .catch((error) => {
      reader?.error(error);
      throw error;
    });
  return { text, done };
}

/** The text of a subscription, without its first `skipCharacters` UTF-16 code units. */
export function read(events: Subscription, skipCharacters: number): ReadableStream<string> {
  let toSkip = skipCharacters;
  let last: StreamEvent | undefined;
  return new ReadableStream<string>(
    {
      async pull(controller) {
        for (let next = await events.next(); !next.done; next = await events.next()) {
          last = next.value;
          if (next.value.missed)
            throw new SubscribeError(
              "missed",
              "The start of the stream is no longer stored: set a larger maxEvents",
            );
          if (next.value.event !== TEXT_EVENT) continue;
          const text = next.value.json<string>();
          const rest = text.slice(toSkip);
          toSkip -= text.length - rest.length;
          if (rest !== "") return controller.enqueue(rest);
        }
        if (events.status === "cancelled")
          throw new Error("The stream was cancelled before its end");
        const failure = failureError(events.status, last);
        if (failure) throw failure;
        controller.close();
      },
      async cancel() {
        await events.return();
      },
    },
    // Nothing is requested from the broker before somebody reads.
    { highWaterMark: 0 },
  );
}
