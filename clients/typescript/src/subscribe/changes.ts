import { RefusedError } from "../errors.js";
import type { From } from "./options.js";

/** A stream is to be added, or to be dropped. */
export interface Change {
  op: "subscribe" | "unsubscribe";
  key: string;
  after?: string | undefined;
  from?: From | undefined;
  wait?: boolean | undefined;
}

/** Changes that somebody waits for, to be made in the order in which they were asked for. */
export class Changes {
  #waiting: { change: Change; resolve: () => void; reject: (error: RefusedError) => void }[] = [];
  /** How many of them the broker was told over this connection. */
  #told = 0;
  #closed = false;

  get empty(): boolean {
    return this.#waiting.length === 0;
  }

  /** The one to be made next. */
  get first(): Change | undefined {
    return this.#waiting[0]?.change;
  }

  /** Resolves when the change was made. */
  push(change: Change): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ change, resolve, reject });
      if (this.#closed) this.close();
    });
  }

  /** Those of which the broker was not told over this connection, and now is. */
  untold(): Change[] {
    const untold = this.#waiting.slice(this.#told).map(({ change }) => change);
    this.#told = this.#waiting.length;
    return untold;
  }

  /** Another connection knows of none. */
  reset(): void {
    this.#told = 0;
  }

  /** The first was made. */
  made(): void {
    this.#shift()?.resolve();
  }

  /** The first was refused. */
  refused(code: string, message: string, cause?: unknown): void {
    const refused = this.#shift();
    refused?.reject(new RefusedError(refused.change.key, code, message, cause));
  }

  /** None is made any more. */
  close(): void {
    this.#closed = true;
    while (!this.empty) this.refused("subscription-over", "The subscription is over");
  }

  #shift() {
    this.#told = Math.max(0, this.#told - 1);
    return this.#waiting.shift();
  }
}
