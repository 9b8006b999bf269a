/**
 * A position in each of several streams, as text that the broker understands.
 * docs/reference/cursors.md describes the format: `KEY:ID,KEY:ID!,~…`.
 */
export class Cursor {
  /**
   * The readable positions by key: an id, an id with `!` at the stream's end, or an empty string
   * before the first event.
   */
  readonly #named = new Map<string, string>();
  /** The opaque items. Only the broker can read them. They hold the positions in other streams. */
  #opaque: string[] = [];
  /** Streams that were added after the opaque items came, so those do not contain them. */
  readonly #later = new Set<string>();

  /** Reads a cursor for these streams, or ids by key. A bare id is valid for one stream only. */
  static of(after: string | Readonly<Record<string, string>>, keys: readonly string[]): Cursor {
    const cursor = new Cursor();
    const [only] = keys;
    if (typeof after !== "string")
      for (const [key, id] of Object.entries(after)) cursor.set(key, id);
    else if (keys.length === 1 && only !== undefined && /^[\d-]+$/.test(after))
      cursor.set(only, after);
    else cursor.take(after);
    return cursor;
  }

  /**
   * Takes over the positions of a cursor. A cursor with an opaque item covers all streams of its
   * connection, so it replaces all positions but those at a stream's end.
   */
  take(text: string): void {
    const items = text.split(",").filter((item) => item !== "");
    const opaque = items.filter((item) => !item.includes(":"));
    if (opaque.length > 0) {
      this.#opaque = opaque;
      this.#later.clear();
      for (const [key, position] of this.#named)
        if (!position.endsWith("!")) this.#named.delete(key);
    }
    for (const item of items) {
      const colon = item.indexOf(":");
      if (colon !== -1)
        this.#named.set(decodeURIComponent(item.slice(0, colon)), item.slice(colon + 1));
    }
  }

  /** Sets the position in a stream. */
  set(key: string, position: string): void {
    this.#named.set(key, position);
    this.#later.delete(key);
  }

  /** Marks the current position in a stream as the stream's end. */
  complete(key: string): void {
    const position = this.#named.get(key);
    if (position) this.#named.set(key, position.replace(/!?$/, "!"));
  }

  /** Adds a stream that has no position yet. */
  begin(key: string): void {
    if (!this.#named.has(key)) this.#later.add(key);
  }

  /** Removes the position in a stream, also from what only the broker can read. */
  forget(key: string): void {
    if (this.#opaque.length > 0 && !this.#later.has(key)) this.#named.set(key, "");
    else this.#named.delete(key);
  }

  /**
   * The id of the last event received of a stream. Null where there is none; undefined where only
   * the broker can read it.
   */
  idOf(key: string): string | null | undefined {
    const position = this.#named.get(key);
    if (position === undefined) return this.lacks(key) ? null : undefined;
    return position === "" ? null : position.replace(/!$/, "");
  }

  /** Whether the cursor has a readable position in the stream. */
  names(key: string): boolean {
    return this.#named.has(key);
  }

  /** Whether the cursor certainly has no position in the stream. */
  lacks(key: string): boolean {
    return !this.#named.has(key) && (this.#opaque.length === 0 || this.#later.has(key));
  }

  copy(): Cursor {
    const copy = new Cursor();
    for (const [key, position] of this.#named) copy.#named.set(key, position);
    for (const key of this.#later) copy.#later.add(key);
    copy.#opaque = this.#opaque;
    return copy;
  }

  /** The cursor as text. Empty when no position is known. */
  toString(): string {
    const named = Array.from(
      this.#named,
      ([key, position]) => `${encodeURIComponent(key)}:${position}`,
    );
    return [...named, ...this.#opaque].join(",");
  }
}
