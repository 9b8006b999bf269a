/** The most bytes of UTF-8 that are gathered for one event. */
const MAX_GATHERED = 64 * 1024;

/**
 * Gathers consecutive strings of one event name for a while, so that they become one event. It
 * sends them at once when they are too many, or when another event has to follow.
 */
export class Gatherer {
  readonly #ms: number;
  readonly #send: (event: string, data: string) => void;
  #gathered: { event: string; parts: string[]; bytes: number } | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `ms` is how long it gathers. `send` takes each event. */
  constructor(ms: number, send: (event: string, data: string) => void) {
    this.#ms = ms;
    this.#send = send;
  }

  /** How many events wait: none or one. */
  get pending(): number {
    return this.#gathered ? 1 : 0;
  }

  /** Adds a string to the event that waits, or to a new one. */
  add(event: string, data: string): void {
    const bytes = new TextEncoder().encode(data).length;
    const { event: name = event, bytes: before = 0 } = this.#gathered ?? {};
    if (name !== event || before + bytes > MAX_GATHERED) this.send();
    this.#gathered ??= { event, parts: [], bytes: 0 };
    this.#gathered.parts.push(data);
    this.#gathered.bytes += bytes;
    if (this.#gathered.bytes >= MAX_GATHERED) this.send();
    else this.#timer ??= setTimeout(() => this.send(), this.#ms);
  }

  /** Sends the event that waits. */
  send(): void {
    const gathered = this.#gathered;
    this.drop();
    if (gathered) this.#send(gathered.event, gathered.parts.join(""));
  }

  /** Drops the event that waits. */
  drop(): void {
    this.#gathered = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
