import { randomName } from "../random.js";
import { Leadership, type LeadershipListener } from "./leadership.js";
import type { Content, Message } from "./step.js";

/** What this tab learns from the other tabs. */
export interface TabsListener extends LeadershipListener {
  /** A message came. Returns whether it is from the leading tab. */
  heard(message: Message): boolean;
  /** The leading tab does not answer. */
  silent(): void;
}

/** The other tabs of a group: a channel to them, and who leads. */
export class Tabs {
  readonly #id = randomName();
  readonly #channel: BroadcastChannel;
  readonly #leadership: Leadership;
  readonly #listener: TabsListener;
  readonly #timer: ReturnType<typeof setInterval>;
  /** Whether another tab may listen. Without one, nothing has to be sent. */
  #hasOthers = false;
  /** Whether the leading tab sent something since the last tick. */
  #heard = false;
  /** For how many ticks nothing came, and at how many this tab takes the leadership. */
  #quietTicks = 0;
  #stealAt = 0;

  private constructor(
    locks: LockManager,
    name: string,
    tabSilenceMs: number,
    listener: TabsListener,
  ) {
    this.#listener = listener;
    this.#leadership = new Leadership(locks, name, listener);
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#receive(data as Message);
    // A timer of a tab in the background may be late by a minute. The answer to a `hello` is not.
    this.#timer = setInterval(() => this.#tick(), tabSilenceMs / 2);
    this.post({ kind: "hello" });
  }

  /**
   * Meets the tabs of a group. Undefined where the platform has no Web Locks or no
   * BroadcastChannel: Node before 24, insecure contexts, old browsers.
   */
  static meet(name: string, tabSilenceMs: number, listener: TabsListener): Tabs | undefined {
    const { locks } = (globalThis as { navigator?: Partial<Navigator> }).navigator ?? {};
    if (!locks || typeof BroadcastChannel === "undefined") return undefined;
    return new Tabs(locks, name, tabSilenceMs, listener);
  }

  /** Wants to lead, now or when the leading tab is gone. */
  candidate(): void {
    this.#leadership.request();
  }

  /** Does not lead any more, and does not want to. */
  resign(): void {
    this.#leadership.release();
  }

  /** Sends something to all other tabs. */
  post(content: Content): void {
    if (content.kind === "step" && !this.#hasOthers) return;
    this.#channel.postMessage({ ...content, from: this.#id } satisfies Message);
  }

  /** Leaves the group. */
  close(): void {
    clearInterval(this.#timer);
    this.#channel.onmessage = null;
    this.#channel.close();
    this.resign();
  }

  #receive(message: Message): void {
    this.#hasOthers = true;
    if (this.#listener.heard(message)) this.#heard = true;
  }

  #tick(): void {
    if (this.#heard || this.#leadership.held) {
      this.#heard = false;
      this.#quietTicks = 0;
      return;
    }
    this.#quietTicks += 1;
    if (this.#quietTicks === 1) {
      this.post({ kind: "hello" });
      // At random, so that not all tabs do it at once.
      this.#stealAt = 3 + Math.floor(Math.random() * 3);
    }
    if (this.#quietTicks === 2) this.#listener.silent();
    if (this.#quietTicks >= this.#stealAt && this.#leadership.requested) this.#leadership.steal();
  }
}
