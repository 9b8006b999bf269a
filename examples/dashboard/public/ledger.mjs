/** Cells of a strip. */
export const CELLS = 40;

/**
 * Which events of a stream have come. Its ids count them, so that each must follow the one before.
 */
export class Ledger {
  got = 0;
  gaps = 0;
  repeats = 0;
  filtered = 0;
  /** The newest cells of the strip: a class for each. */
  cells = [];
  #last;
  #sifted = false;

  /** Another stream follows. */
  begin() {
    this.#last = undefined;
  }

  /** From now on until the next event what is missing was not asked for. */
  sift() {
    this.#sifted = true;
  }

  /**
   * An event, by its number, which the page's `connection`th connection brought. `sifting`: others
   * may be left out after it.
   */
  note(number, connection, sifting) {
    const between = this.#last === undefined ? 0 : number - this.#last - 1;
    if (between < 0) {
      this.repeats += 1;
      this.#push('repeat');
      return;
    }
    if (this.#sifted) {
      this.filtered += between;
      this.#push('filtered', between);
    } else {
      this.gaps += between;
      this.#push('gap', between);
    }
    this.#sifted = sifting;
    this.#last = number;
    this.got += 1;
    this.#push(connection % 2 ? 'odd' : 'even');
  }

  /**
   * Events that the broker says are no longer stored; `missed` is null where it can't know how
   * many.
   */
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
