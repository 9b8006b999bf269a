// The numbers of the events that a subscriber received, and the connection of each. They show gaps
// and repeats.

export class Numbers {
  /** The first connection that delivered each number. @type {Map<number, number>} */
  by = new Map();
  /** The numbers that repeated. @type {Set<number>} */
  repeats = new Set();
  /** How many events the broker reported as no longer stored. */
  missed = 0;
  first = 0;
  /** The highest number so far. Less than `first` when there is none. */
  last = -1;

  /**
   * @param {number} number
   * @param {number} connection
   */
  add(number, connection) {
    if (this.by.has(number)) this.repeats.add(number);
    else this.by.set(number, connection);
    this.last = Math.max(this.last, number);
  }

  /**
   * The broker reported that the events before `first` are no longer stored.
   * @param {number} first
   */
  miss(first) {
    this.missed += Math.max(0, first - (this.last + 1));
    if (this.last < 0) this.first = first;
    for (let number = this.last + 1; number < first; number++) this.by.set(number, -1);
    this.last = Math.max(this.last, first - 1);
  }

  /** How many numbers are missing. */
  get gaps() {
    return this.last + 1 - this.by.size;
  }

  /** How many events came. */
  get count() {
    return this.by.size - this.missed;
  }
}
