// How the chunks of a UI message stream become the events of a broker's stream, and back.

import type { UIMessage, UIMessageChunk } from "ai";
import { ChatError } from "./errors.js";

/** The name of the events that carry chunks. Other events of the stream are not for the page. */
export const CHUNK_EVENT = "chunk";
/**
 * The name of the events that carry the message that the answer continues. A page that reads the
 * answer again needs it.
 */
export const CONTINUED_EVENT = "continued";
/** The name of the event that says who writes the answer. The first request that writes it wins. */
export const CLAIM_EVENT = "claim";

/** A page gets consecutive deltas of one part as one event: their `delta` is joined. */
export const ROLLUP = { rollup: CHUNK_EVENT, rollupPath: "/delta" };

/**
 * The most code units of one event. JSON inside JSON escapes twice, to at most seven bytes each, so
 * an event stays within the broker's limit of 1 MiB.
 */
const MAX_EVENT = 100_000;
/** The most code units of one chunk, such as a file or the output of a tool. */
const MAX_CHUNK = 16 * 1024 * 1024;

/** A part of the JSON text of a chunk that does not fit into one event. `delta` is the text. */
const PIECE = "tinistreamer-piece";
/** A message. */
const MESSAGE = "tinistreamer-message";
/** The end of such a chunk. */
const PIECES_END = "tinistreamer-pieces-end";

/**
 * The data of the events that carry this chunk. They are ASCII where a character is only a half, so
 * that a character that a model splits between two deltas comes unchanged. Throws a `ChatError`
 * `chunk-too-large`.
 */
export function encodeChunk(chunk: UIMessageChunk): string[] {
  return encode(chunk.type === "tool-input-delta" ? toWire(chunk) : chunk);
}

/** The same for a message. */
export function encodeMessage(message: UIMessage): string[] {
  return encode({ type: MESSAGE, message });
}

function encode(value: object): string[] {
  const json = JSON.stringify(value);
  if (json.length <= MAX_EVENT) return [json];
  checkSize(json.length);
  const events: string[] = [];
  for (let from = 0; from < json.length; from += MAX_EVENT) {
    events.push(JSON.stringify({ type: PIECE, delta: json.slice(from, from + MAX_EVENT) }));
  }
  events.push(JSON.stringify({ type: PIECES_END }));
  return events;
}

/** Makes chunks of the data of events, in their order. */
export class ChunkDecoder {
  readonly #decoder = new Decoder();

  /** The chunk that this event completes, if it does. Throws a `ChatError`. */
  decode(data: string): UIMessageChunk | undefined {
    const value = this.#decoder.decode(data);
    return value && fromWire(value);
  }
}

/** Makes a message of the data of events. */
export class MessageDecoder {
  readonly #decoder = new Decoder();

  /** The message that this event completes, if it does. Throws a `ChatError`. */
  decode(data: string): UIMessage | undefined {
    return this.#decoder.decode(data)?.message as UIMessage | undefined;
  }
}

class Decoder {
  #pieces: string[] = [];
  #length = 0;

  decode(data: string): WireChunk | undefined {
    const value = parse(data);
    if (value.type === PIECE) {
      this.#add(String(value.delta));
      return undefined;
    }
    if (value.type !== PIECES_END) return value;
    const json = this.#pieces.join("");
    this.#pieces = [];
    this.#length = 0;
    return parse(json);
  }

  #add(piece: string): void {
    this.#length += piece.length;
    checkSize(this.#length);
    this.#pieces.push(piece);
  }
}

type WireChunk = { type: string; delta?: unknown; [member: string]: unknown };

/** All deltas have the same member, because one pointer names it for the broker. */
function toWire(chunk: UIMessageChunk & { type: "tool-input-delta" }): WireChunk {
  const { inputTextDelta, ...rest } = chunk;
  return { ...rest, delta: inputTextDelta };
}

function fromWire(value: WireChunk): UIMessageChunk {
  if (value.type !== "tool-input-delta") return value as unknown as UIMessageChunk;
  const { delta, ...rest } = value;
  return { ...rest, inputTextDelta: delta } as unknown as UIMessageChunk;
}

function parse(data: string): WireChunk {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch (cause) {
    throw new ChatError("invalid-chunk", "The stream holds a chunk that is not JSON", cause);
  }
  if (typeof (value as WireChunk | null)?.type !== "string")
    throw new ChatError("invalid-chunk", "The stream holds a chunk without a type");
  return value as WireChunk;
}

function checkSize(length: number): void {
  if (length > MAX_CHUNK)
    throw new ChatError(
      "chunk-too-large",
      `A chunk of a message has more than ${MAX_CHUNK} characters`,
    );
}
