import type { Subscription } from "../subscribe/subscription.js";
import type { Position, Step } from "./step.js";

/** What a line reports. */
export interface LineListener {
  stepped(line: Line, step: Step): void;
  failed(line: Line, error: unknown): void;
}

/** This tab's own subscription, read step by step. */
export class Line {
  readonly #subscription: Subscription;
  readonly #listener: LineListener;
  /** The position after the last step. */
  #reported: Position;
  /** The last event, if it is a `missedevents`: the id that follows it, and the one before it. */
  #loss: { first: string | null; lastId: string | null } | undefined;
  #reading: Promise<void> | undefined;

  constructor(subscription: Subscription, listener: LineListener) {
    this.#subscription = subscription;
    this.#listener = listener;
    this.#reported = subscription.lastId;
  }

  /** Reads one step and reports it, or the error. Calls at the same time read the same step. */
  read(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  /** The step over the filtered events that were passed since the last step, if there are any. */
  takeMove(): Step | undefined {
    return this.#position() === this.#reported ? undefined : this.#step({ isEnd: false });
  }

  /** Closes the connection at once. A read that waits ends. */
  close(): void {
    void this.#subscription.return();
  }

  async #read(): Promise<void> {
    let step: Step;
    try {
      const { done, value } = await this.#subscription.next();
      if (value) {
        const { lastId } = this.#subscription;
        this.#loss = value.missed ? { first: value.missed.first, lastId } : undefined;
      }
      step = this.#step({ event: value ?? null, isEnd: done === true });
    } catch (error) {
      return this.#listener.failed(this, error);
    }
    this.#listener.stepped(this, step);
  }

  #step({ event = null, isEnd }: Partial<Step> & { isEnd: boolean }): Step {
    const before = this.#reported;
    this.#reported = this.#position();
    const { lastId, status, reason } = this.#subscription;
    return { before, after: this.#reported, lastId, event, isEnd, status, reason };
  }

  #position(): Position {
    const { lastId } = this.#subscription;
    // Filtered events may have been passed since the loss.
    return this.#loss?.lastId === lastId ? `missed ${this.#loss?.first}` : lastId;
  }
}
