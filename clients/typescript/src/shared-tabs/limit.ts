import type { Step } from "./step.js";

/** The most steps that one tab keeps for its reader, and as many to join another tab. */
const MAX_STEPS = 1_000;
/** The most characters of their data, unless a single event has more. */
const MAX_CHARACTERS = 1 << 20;

/** Counts steps that are kept, and their characters. */
export class Load {
  #steps = 0;
  #characters = 0;

  /** Whether nothing more should be kept. */
  get full(): boolean {
    return this.#steps >= MAX_STEPS || this.#characters >= MAX_CHARACTERS;
  }

  add(step: Step): void {
    this.#steps += 1;
    this.#characters += lengthOf(step);
  }

  remove(step: Step): void {
    this.#steps -= 1;
    this.#characters -= lengthOf(step);
  }
}

function lengthOf({ event }: Step): number {
  return event?.data.length ?? 0;
}
