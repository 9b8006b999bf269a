import { Load } from "./limit.js";
import type { Position, Step } from "./step.js";

/**
 * The latest steps of the leading tab, without a hole. A tab with its own connection joins the
 * leading tab when its own position is among them.
 */
export class Backlog {
  #steps: Step[] = [];
  #load = new Load();
  /** The number of the first step here. Numbers count from the start of the backlog. */
  #first = 0;
  /** The number of the step that follows a position. */
  readonly #next = new Map<string, number>();
  #end: Position = null;

  /** Begins at this position of the leading tab, unless it is the end of the backlog already. */
  start(position: Position): void {
    if (position !== null && position === this.#end) return;
    this.#steps = [];
    this.#load = new Load();
    this.#first = 0;
    this.#next.clear();
    this.#mark(position);
  }

  /** Adds a step of the leading tab. Drops the oldest ones where there are too many. */
  add(step: Step): void {
    this.start(step.before);
    this.#steps.push(step);
    this.#load.add(step);
    this.#mark(step.after);
    while (this.#load.full && this.#steps.length > 1) this.#dropOldest();
  }

  /** The steps that follow the position. Undefined when the backlog does not contain it. */
  stepsAfter(position: Position): Step[] | undefined {
    const next = position === null ? undefined : this.#next.get(position);
    return next === undefined ? undefined : this.#steps.slice(next - this.#first);
  }

  #mark(position: Position): void {
    this.#end = position;
    // The end of a stream does not change the position, and must follow it, too.
    if (position !== null && !this.#next.has(position))
      this.#next.set(position, this.#first + this.#steps.length);
  }

  #dropOldest(): void {
    const [oldest] = this.#steps.splice(0, 1) as [Step];
    this.#load.remove(oldest);
    const { before } = oldest;
    if (before !== null && this.#next.get(before) === this.#first) this.#next.delete(before);
    this.#first += 1;
  }
}
