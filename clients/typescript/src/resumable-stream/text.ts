/**
 * Code units of one event at the most. Escaped twice, as JSON in JSON, none takes more than seven
 * bytes, so that it keeps within the broker's limit of 1 MiB.
 */
const MAX_PIECE = 100_000;

/**
 * Cuts text into pieces that can be stored: of no more than a certain length, and without half
 * characters, which UTF-8 can't say. A character whose halves come in two chunks is kept whole; a
 * half that has no other becomes U+FFFD. The length stays the same.
 */
export class TextPieces {
  /** The first half of a character, whose other half is still to come. */
  #held = "";

  /** The pieces that this chunk completes. */
  push(chunk: string): string[] {
    const text = this.#held + chunk;
    const end = endsInHalf(text) ? text.length - 1 : text.length;
    this.#held = text.slice(end);
    return cut(text.slice(0, end));
  }

  /** What is left at the end. */
  end(): string[] {
    return cut(this.#held);
  }
}

function endsInHalf(text: string): boolean {
  return /[\uD800-\uDBFF]$/.test(text);
}

function cut(text: string): string[] {
  const pieces: string[] = [];
  for (let rest = text.replace(/\p{Surrogate}/gu, "\uFFFD"); rest !== ""; ) {
    const piece = rest.slice(0, MAX_PIECE);
    const length = endsInHalf(piece) ? piece.length - 1 : piece.length;
    pieces.push(rest.slice(0, length));
    rest = rest.slice(length);
  }
  return pieces;
}
