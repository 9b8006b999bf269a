/** What a tab learns about its leadership. */
export interface LeadershipListener {
  /** This tab leads from now on. */
  granted(): void;
  /** Another tab has taken the leadership from this one. */
  lost(): void;
  /** The platform refuses locks. */
  unavailable(error: unknown): void;
}

/** One request for the lock. */
interface Attempt {
  abort: AbortController;
  /** Set while this tab holds the lock. */
  release?: () => void;
}

/** A Web Lock that one tab of a group holds. The browser releases it when the tab is gone. */
export class Leadership {
  readonly #locks: LockManager;
  readonly #name: string;
  readonly #listener: LeadershipListener;
  #attempt: Attempt | undefined;

  constructor(locks: LockManager, name: string, listener: LeadershipListener) {
    this.#locks = locks;
    this.#name = name;
    this.#listener = listener;
  }

  /** Whether this tab waits for the lock or holds it. */
  get requested(): boolean {
    return this.#attempt !== undefined;
  }

  /** Whether this tab leads. */
  get held(): boolean {
    return this.#attempt?.release !== undefined;
  }

  /** Waits for the lock, unless this tab does so already or holds it. */
  request(): void {
    if (!this.#attempt) this.#start((attempt) => ({ signal: attempt.abort.signal }));
  }

  /** Takes the lock from a tab that does not answer. */
  steal(): void {
    this.release();
    this.#start(() => ({ steal: true }));
  }

  /** Gives the lock up, or no longer waits for it. */
  release(): void {
    const attempt = this.#attempt;
    this.#attempt = undefined;
    attempt?.release?.();
    attempt?.abort.abort();
  }

  #start(optionsOf: (attempt: Attempt) => LockOptions): void {
    const attempt: Attempt = { abort: new AbortController() };
    this.#attempt = attempt;
    const hold = () =>
      new Promise<void>((resolve) => {
        if (this.#attempt !== attempt) return resolve();
        attempt.release = resolve;
        this.#listener.granted();
      });
    this.#locks.request(this.#name, optionsOf(attempt), hold).catch((error: unknown) => {
      // An attempt that this tab has given up rejects, too.
      if (this.#attempt !== attempt) return;
      this.#attempt = undefined;
      // The lock may be stolen before this tab learns that it was granted.
      if ((error as Error).name === "AbortError") this.#listener.lost();
      else this.#listener.unavailable(error);
    });
  }
}
