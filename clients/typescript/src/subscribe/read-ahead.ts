/** Reads an iterator ahead of its reader, while something else needs the iterator to progress. */
export class ReadAhead<Item> {
  readonly #read: () => Promise<IteratorResult<Item, undefined>>;
  readonly #results: Promise<IteratorResult<Item, undefined>>[] = [];
  #running = false;

  constructor(read: () => Promise<IteratorResult<Item, undefined>>) {
    this.#read = read;
  }

  /** Whether results wait for the reader. */
  get ahead(): boolean {
    return this.#results.length > 0;
  }

  /** The next result for the reader. */
  next(): Promise<IteratorResult<Item, undefined>> {
    return this.#results.shift() ?? this.#read();
  }

  /** Drops the results that wait. */
  clear(): void {
    this.#results.length = 0;
  }

  /** Reads while `needed` returns true. The reader receives the errors. */
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
