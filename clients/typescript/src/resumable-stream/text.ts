/**
 * The most code units of one event. JSON inside JSON escapes twice, to at most seven bytes each, so
 * a piece stays within the broker's limit of 1 MiB.
 */
const MAX_PIECE = 100_000;

/**
 * Cuts text into pieces that can be stored. A piece has a limited length, and no half of a
 * character, which UTF-8 can't encode. A character that is split between two chunks stays whole. A
 * half without its other half becomes U+FFFD. The length of the text stays the same.
 */
export class TextPieces {
  /** The first half of a character, until its other half comes. */
  #held = "";

  /** The pieces that this chunk completes. */
  push(chunk: string): string[] {
    const text = this.#held + chunk;
    const end = endsInHalf(text) ? text.length - 1 : text.length;
    this.#held = text.slice(end);
    return cut(text.slice(0, end));
  }

  /** The remaining pieces. */
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
