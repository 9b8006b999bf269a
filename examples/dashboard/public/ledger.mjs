/** The number of cells of a strip. */
export const CELLS = 40;

/** Counts the events of a stream that have come. The numbers in the ids must follow one another. */
export class Ledger {
  got = 0;
  gaps = 0;
  repeats = 0;
  filtered = 0;
  /** The newest cells of the strip, as class names. */
  cells = [];
  #last;
  #filtering = false;

  /** Another stream follows. */
  begin() {
    this.#last = undefined;
  }

  /** Until the next event, missing numbers count as filtered. */
  filter() {
    this.#filtering = true;
  }

  /**
   * Adds an event, which the page's `connection`th connection delivered. With `filtered` the broker
   * may leave out events after it.
   */
  note(number, connection, filtered) {
    const between = this.#last === undefined ? 0 : number - this.#last - 1;
    if (between < 0) {
      this.repeats += 1;
      this.#push('repeat');
      return;
    }
    if (this.#filtering) {
      this.filtered += between;
      this.#push('filtered', between);
    } else {
      this.gaps += between;
      this.#push('gap', between);
    }
    this.#filtering = filtered;
    this.#last = number;
    this.got += 1;
    this.#push(connection % 2 ? 'odd' : 'even');
  }

  /** Adds events that are no longer stored. `missed` is null when the broker can't count them. */
  miss(missed, first) {
    this.gaps += missed ?? 1;
    this.#push('gap', missed ?? 1);
    this.#last = first - 1;
  }

  #push(kind, times = 1) {
    for (let i = 0; i < Math.min(times, CELLS); i += 1) this.cells.push(kind);
    this.cells.splice(0, this.cells.length - CELLS);
  }
}
