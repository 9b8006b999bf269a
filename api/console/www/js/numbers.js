// Which of a stream's events a client has been given, and by which of its connections: what was
// left out or came twice shows.

export class Numbers {
  /** The connection by which each number first came. @type {Map<number, number>} */
  by = new Map();
  /** Numbers that came more than once. @type {Set<number>} */
  repeats = new Set();
  /** Told by the broker as no longer stored. */
  told = 0;
  first = 0;
  /** The highest so far; below `first`, when there is none. */
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
   * The broker says that what lies before `first` is gone.
   * @param {number} first
   */
  tell(first) {
    this.told += Math.max(0, first - (this.last + 1));
    if (this.last < 0) this.first = first;
    for (let number = this.last + 1; number < first; number++) this.by.set(number, -1);
    this.last = Math.max(this.last, first - 1);
  }

  /** Numbers that should have come and did not. */
  get gaps() {
    return this.last + 1 - this.by.size;
  }

  /** How many came. */
  get count() {
    return this.by.size - this.told;
  }
}
