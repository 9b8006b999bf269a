import type { Entry } from "../entries/encode.js";

/** The name of the events that carry a chunk of UTF-8 text, as a JSON string. */
const TEXT_EVENT = "text";
/** The name of the events that carry any other chunk, in Base64. */
const BYTES_EVENT = "bytes";
/** The names of both. */
export const CHUNK_EVENTS = [TEXT_EVENT, BYTES_EVENT] as const;
/** How many bytes become text at once: a function takes only so many arguments. */
const MAX_ARGUMENTS = 0x8000;

/** The entry that keeps these bytes. */
export function entryOf(chunk: Uint8Array): Entry {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(chunk);
    return { name: TEXT_EVENT, data: JSON.stringify(text) };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return { name: BYTES_EVENT, data: toBase64(chunk) };
  }
}

/** The bytes of an entry. */
export function bytesOf({ name, data }: Entry): Uint8Array {
  if (name === TEXT_EVENT) return new TextEncoder().encode(JSON.parse(data) as string);
  return Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
}

function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (let from = 0; from < bytes.length; from += MAX_ARGUMENTS)
    binary += String.fromCharCode(...bytes.subarray(from, from + MAX_ARGUMENTS));
  return btoa(binary);
}
