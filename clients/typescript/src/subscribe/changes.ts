import { RefusedError } from "../errors.js";
import type { From } from "./options.js";

/** A request to add a stream to a subscription, or to drop one from it. */
export interface Change {
  op: "subscribe" | "unsubscribe";
  key: string;
  after?: string | undefined;
  from?: From | undefined;
  wait?: boolean | undefined;
}

/** The changes that callers wait for. They are made in the order in which they were requested. */
export class Changes {
  #waiting: { change: Change; resolve: () => void; reject: (error: RefusedError) => void }[] = [];
  /** How many of them were sent to the broker over this connection. */
  #sent = 0;
  #closed = false;

  get empty(): boolean {
    return this.#waiting.length === 0;
  }

  /** The change to make next. */
  get first(): Change | undefined {
    return this.#waiting[0]?.change;
  }

  /** Resolves when the change was made. Rejects with a `RefusedError` when it was refused. */
  push(change: Change): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ change, resolve, reject });
      if (this.#closed) this.close();
    });
  }

  /** Returns the changes that were not sent over this connection, and counts them as sent. */
  takeUnsent(): Change[] {
    const unsent = this.#waiting.slice(this.#sent).map(({ change }) => change);
    this.#sent = this.#waiting.length;
    return unsent;
  }

  /** Another connection begins, over which nothing was sent. */
  reset(): void {
    this.#sent = 0;
  }

  /** The first change was made. */
  made(): void {
    this.#shift()?.resolve();
  }

  /** The first change was refused. */
  refused(code: string, message: string, cause?: unknown): void {
    const refused = this.#shift();
    refused?.reject(new RefusedError(refused.change.key, code, message, cause));
  }

  /** Refuses all changes, from now on, too. */
  close(): void {
    this.#closed = true;
    while (!this.empty) this.refused("subscription-over", "The subscription is over");
  }

  #shift() {
    this.#sent = Math.max(0, this.#sent - 1);
    return this.#waiting.shift();
  }
}
