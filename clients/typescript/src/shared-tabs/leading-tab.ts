import { Backlog } from "./backlog.js";
import type { Message, Position, Step } from "./step.js";

/** What a tab knows about the tab that leads. */
export class LeadingTab {
  #id: string | undefined;
  #isOpen = false;
  readonly #backlog = new Backlog();

  /** Whether this tab sent the message. */
  hasSent({ from }: Message): boolean {
    return from === this.#id;
  }

  /** Another tab leads now. */
  replace({ from }: Message): void {
    this.forget();
    this.#id = from;
  }

  /** Nothing is known about it any more. */
  forget(): void {
    this.#id = undefined;
    this.#isOpen = false;
    this.#backlog.start(null);
  }

  /** Keeps what it sent, so that this tab can join it. */
  keep(message: Message): void {
    if (message.kind === "step") {
      this.#isOpen = true;
      this.#backlog.add(message.step);
    }
    if (message.kind === "position") {
      this.#isOpen = message.isOpen;
      this.#backlog.start(message.position);
    }
    if (message.kind === "connection") this.#isOpen = message.change.state === "open";
  }

  /**
   * Takes its steps after this position, which a tab there may receive. Undefined when it has no
   * connection, and when the position is not among its latest ones.
   */
  takeStepsAfter(position: Position): Step[] | undefined {
    const steps = this.#isOpen ? this.#backlog.stepsAfter(position) : undefined;
    if (steps) this.#backlog.start(null);
    return steps;
  }
}
