import { Load } from "./limit.js";
import type { Step } from "./step.js";

/** The steps that the reader of this tab has not taken yet, and perhaps the error after them. */
export class Unread {
  readonly #steps: Step[] = [];
  readonly #load = new Load();
  #failure: { error: unknown } | undefined;

  /** Whether the reader is too slow to keep more for it. */
  get full(): boolean {
    return this.#load.full;
  }

  push(step: Step): void {
    this.#steps.push(step);
    this.#load.add(step);
  }

  /** The reader receives the error after the steps that are here. */
  fail(error: unknown): void {
    this.#failure ??= { error };
  }

  /** The next step. Undefined when there is none. Throws the error after the last one. */
  shift(): Step | undefined {
    const step = this.#steps.shift();
    if (step) this.#load.remove(step);
    else if (this.#failure) throw this.#failure.error;
    return step;
  }
}
