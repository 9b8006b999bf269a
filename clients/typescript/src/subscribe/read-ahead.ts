/** Reads from an iterator ahead of its reader, while somebody needs it to go on. */
export class ReadAhead<Item> {
  readonly #read: () => Promise<IteratorResult<Item, undefined>>;
  readonly #results: Promise<IteratorResult<Item, undefined>>[] = [];
  #running = false;

  constructor(read: () => Promise<IteratorResult<Item, undefined>>) {
    this.#read = read;
  }

  /** Whether more was asked for than the reader did. */
  get ahead(): boolean {
    return this.#results.length > 0;
  }

  /** For the reader: what comes next. */
  next(): Promise<IteratorResult<Item, undefined>> {
    return this.#results.shift() ?? this.#read();
  }

  /** Forgets what was read. */
  clear(): void {
    this.#results.length = 0;
  }

  /** Reads as long as it is needed. What fails is thrown to the reader. */
  async while(needed: () => boolean): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    for (let done = false; !done && needed(); ) {
      const result = this.#read();
      this.#results.push(result);
      done = await result.then(
        ({ done }) => done === true,
        () => true,
      );
    }
    this.#running = false;
  }
}
