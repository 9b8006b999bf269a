import { Backoff } from "../backoff.js";
import type { SignalRecord, Signals } from "../generated/openapi.js";
import { leastDelay } from "../http.js";
import type { Log } from "../log.js";
import { sleep } from "../timeout.js";
import type { Target } from "./target.js";

/** How many seconds the broker holds a response back while there is no signal. */
const WAIT = 20;
/** How much longer a response may take, in milliseconds. */
const RESPONSE_TIME = 15_000;
/** How long one look at the signals may take, in milliseconds. */
const MAX_LOOK = 10_000;
/** Milliseconds before the second attempt. They double with each further one. */
const FIRST_DELAY = 1_000;
const MAX_DELAY = 30_000;

/** What a hearing reports. */
export interface HearingListener {
  /** The producer was asked to stop, by somebody if that is known. */
  stopped(by: string | null): void;
  /** Somebody else has cancelled the stream. */
  cancelled(): void;
}

/**
 * Hears the signals of a stream: by one long poll after another, from the first signal on. It keeps
 * the signals for later readers. The broker bounds them, to 1,000 and 1 MiB.
 */
export class Hearing {
  readonly #target: Target;
  readonly #listener: HearingListener;
  readonly #log: Log;
  readonly #abort = new AbortController();
  readonly #signals: SignalRecord[] = [];
  readonly #backoff = new Backoff(FIRST_DELAY, MAX_DELAY);
  #opened = false;
  /** Set when no signal follows. */
  #end: { error?: unknown } | undefined;
  #waiting: (() => void)[] = [];

  constructor(target: Target, listener: HearingListener, log: Log) {
    this.#target = target;
    this.#listener = listener;
    this.#log = log;
  }

  /** Begins to hear, unless that has begun before. */
  open(): void {
    if (this.#opened || this.#end) return;
    this.#opened = true;
    this.#run().then(
      () => this.#over({}),
      (error) => {
        if (this.#end) return;
        this.#log("warn", "A writer no longer hears signals", error);
        this.#over({ error });
      },
    );
  }

  /** Closes the connection at once. */
  close(): void {
    this.#over({});
    this.#abort.abort();
  }

  /** Yields all signals from the first one on. Throws the error that ended the hearing. */
  async *read(): AsyncGenerator<SignalRecord, void, void> {
    for (let next = 0; ; ) {
      const signal = this.#signals[next];
      if (signal) {
        next += 1;
        yield signal;
      } else if (this.#end) {
        if ("error" in this.#end) throw this.#end.error;
        return;
      } else {
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    }
  }

  /** Reads the signals that there are, without waiting for another one. A failure is only logged. */
  async look(): Promise<void> {
    try {
      for (let more = true; more; ) {
        more = this.#take(await this.#target.signals(this.#last, 0, MAX_LOOK));
      }
    } catch (error) {
      this.#log("debug", "The signals of a stream could not be read", error);
    }
  }

  get #last(): number {
    return this.#signals.at(-1)?.seq ?? 0;
  }

  /** Hears until the stream is finished. */
  async #run(): Promise<void> {
    const { signal } = this.#abort;
    for (;;) {
      const asked = performance.now();
      try {
        const found = await this.#target.signals(
          this.#last,
          WAIT,
          WAIT * 1_000 + RESPONSE_TIME,
          signal,
        );
        this.#backoff.reset();
        if (this.#take(found)) continue;
        if (found.stream_status !== "active") {
          if (found.stream_status === "cancelled") this.#listener.cancelled();
          return;
        }
      } catch (error) {
        const least = leastDelay(error);
        if (least === undefined) throw error;
        this.#log("debug", "The signals of a stream could not be heard", error);
        await sleep(Math.max(least, this.#backoff.delay()), signal);
        continue;
      }
      // A server that does not wait must not be asked again and again.
      const early = FIRST_DELAY - (performance.now() - asked);
      if (early > 0) await sleep(early, signal);
    }
  }

  /** Keeps the signals that are new. Returns whether there were any. */
  #take({ signals }: Signals): boolean {
    const fresh = signals.filter(({ seq }) => seq > this.#last);
    for (const signal of fresh) {
      this.#signals.push(signal);
      if (signal.name === "stop") this.#listener.stopped(signal.by ?? null);
    }
    if (fresh.length > 0) this.#wake();
    return fresh.length > 0;
  }

  #over(end: { error?: unknown }): void {
    this.#end ??= end;
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
