/**
 * A position in each of several streams, as docs/following.md describes it: `KEY:ID,KEY:ID!,~…`.
 */
export class Cursor {
  /**
   * By key: an id, an id with `!` where that was the stream's last, or nothing where the client has
   * nothing.
   */
  readonly #named = new Map<string, string>();
  /** What only the broker can read, and names other streams. */
  #opaque: string[] = [];
  /** Streams that this certainly does not name, as they came later. */
  readonly #later = new Set<string>();

  /**
   * Reads a cursor of these streams, or an id for each of some. A bare id is good for one stream.
   */
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
   * Takes a cursor over. With an opaque part it names all streams of its connection, and replaces
   * what was known of those not ended.
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

  /** The stream's position is this, whatever else says. */
  set(key: string, position: string): void {
    this.#named.set(key, position);
    this.#later.delete(key);
  }

  /** Where the client is in the stream is its end. */
  complete(key: string): void {
    const position = this.#named.get(key);
    if (position) this.#named.set(key, position.replace(/!?$/, "!"));
  }

  /** The stream is a new one here, and is nowhere yet. */
  begin(key: string): void {
    if (!this.#named.has(key)) this.#later.add(key);
  }

  /** Forgets where the client was in the stream, also where that can't be read here. */
  forget(key: string): void {
    if (this.#opaque.length > 0 && !this.#later.has(key)) this.#named.set(key, "");
    else this.#named.delete(key);
  }

  /**
   * The id that comes before in this stream; null where nothing does; undefined where that can't be
   * read here.
   */
  idOf(key: string): string | null | undefined {
    const position = this.#named.get(key);
    if (position === undefined) return this.lacks(key) ? null : undefined;
    return position === "" ? null : position.replace(/!$/, "");
  }

  /** Whether it says, for everybody to read, where the client is in the stream. */
  names(key: string): boolean {
    return this.#named.has(key);
  }

  /** Whether it says for certain nothing of the stream. */
  lacks(key: string): boolean {
    return !this.#named.has(key) && (this.#opaque.length === 0 || this.#later.has(key));
  }

  /** The same once more. */
  copy(): Cursor {
    const copy = new Cursor();
    for (const [key, position] of this.#named) copy.#named.set(key, position);
    for (const key of this.#later) copy.#later.add(key);
    copy.#opaque = this.#opaque;
    return copy;
  }

  /** As the broker takes it; empty when nothing is known. */
  toString(): string {
    const named = Array.from(
      this.#named,
      ([key, position]) => `${encodeURIComponent(key)}:${position}`,
    );
    return [...named, ...this.#opaque].join(",");
  }
}
