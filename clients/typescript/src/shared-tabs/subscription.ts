import { SubscribeError } from "../errors.js";
import { type Log, logTo } from "../log.js";
import { type ConnectionChange, ConnectionReporter } from "../subscribe/connection-reporter.js";
import { Credentials } from "../subscribe/credentials.js";
import { StreamEvent } from "../subscribe/event.js";
import { MissedCounter, type MissedTotal } from "../subscribe/missed.js";
import { isStart } from "../subscribe/request.js";
import { SequenceCheck } from "../subscribe/sequence.js";
import { Subscription } from "../subscribe/subscription.js";
import type { Endpoint } from "../subscribe/transport.js";
import { groupName } from "./group.js";
import { LeadingTab } from "./leading-tab.js";
import { onFreeze } from "./lifecycle.js";
import { Line } from "./line.js";
import type { SharedSubscribeOptions } from "./options.js";
import type { Role } from "./role.js";
import { fromShared, type Message, type Position, type Step, toShared } from "./step.js";
import { Tabs } from "./tabs.js";
import { Unread } from "./unread.js";

/**
 * Iterates over the events of a stream, once, as `Subscription` does. Tabs of one group share the
 * connection. A tab starts `alone`. It joins the leading tab when both are at the same position, so
 * that nothing is missing and nothing comes twice. At any doubt it is `alone` again, after the last
 * step that it has.
 */
export class SharedSubscription extends Subscription {
  readonly #options: SharedSubscribeOptions;
  readonly #credentials: Credentials;
  readonly #log: Log;
  readonly #reporter: ConnectionReporter;
  readonly #items: AsyncGenerator<StreamEvent, undefined, void>;
  readonly #leaving = new AbortController();
  #left = false;
  /** Ends the wait of the reader. */
  #wake = () => {};

  #role: Role = "alone";
  #tabs: Tabs | undefined;
  #stopWatching = () => {};
  #line: Line | undefined;
  /** Whether the broker has accepted this line. */
  #isOpen = false;
  /** Whether the broker has ever accepted this tab's token. A tab must not join before. */
  #isAdmitted = false;

  readonly #leader = new LeadingTab();

  /** Where this tab is: after the last step that it received. */
  #head: { lastId: string | null; position: Position };
  readonly #received: SequenceCheck;
  readonly #unread = new Unread();
  readonly #missed = new MissedCounter();

  /** For `subscribeShared`. */
  constructor(options: SharedSubscribeOptions, credentials = new Credentials(options)) {
    super(options, credentials);
    if (!options.shareTabs)
      throw new TypeError("The name of the group of tabs is missing: set `shareTabs`");
    this.#options = options;
    this.#credentials = credentials;
    this.#log = logTo(options.onLog);
    this.#reporter = new ConnectionReporter(options.onConnection, this.#log);
    this.#head = { lastId: this.lastId, position: this.lastId };
    const start = this.lastId ?? (isStart(options.from) ? null : undefined);
    this.#received = new SequenceCheck(start, options.events !== undefined);
    this.#items = this.#run();
  }

  override get missed(): MissedTotal | null {
    return this.#missed.total;
  }

  override next(): Promise<IteratorResult<StreamEvent, undefined>> {
    return this.#items.next();
  }

  override async return(): Promise<IteratorResult<StreamEvent, undefined>> {
    this.#left = true;
    this.#leaving.abort();
    return this.#items.return(undefined);
  }

  async *#run(): AsyncGenerator<StreamEvent, undefined, void> {
    const { signal } = this.#options;
    let failure: unknown = null;
    const abort = () => this.#leaving.abort(signal?.reason);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort);
    this.#leaving.signal.addEventListener("abort", () => {
      this.#closeLine();
      this.#wake();
    });
    try {
      if (!this.#credentials.endpoint) await this.#credentials.get(this.#leaving.signal);
      this.located(this.#credentials.endpoint as Endpoint);
      this.#startSharing();
      yield* this.#deliver(this.#leaving.signal);
    } catch (error) {
      if (!this.#left) {
        // The caller may have left the subscription by its signal. That is no failure.
        if (!signal?.aborted) failure = error;
        throw error;
      }
    } finally {
      this.#stopSharing();
      this.#reporter.change("closed", failure);
      this.#leaving.abort();
      signal?.removeEventListener("abort", abort);
    }
    return undefined;
  }

  /** Hands out the events that this tab has received, and waits for more. */
  async *#deliver(signal: AbortSignal): AsyncGenerator<StreamEvent, void, void> {
    for (;;) {
      signal.throwIfAborted();
      const step = this.#unread.shift();
      if (!step) {
        await this.#more();
        continue;
      }
      this.lastId = step.lastId;
      if (step.status !== null) {
        this.status = step.status;
        this.reason = step.reason;
      }
      if (step.event) {
        if (step.event.missed) this.#missed.add(step.event.missed);
        yield new StreamEvent(step.event);
      }
      if (step.isEnd) return;
    }
  }

  /** Waits until something may have come. Reads this tab's line, if nobody else does. */
  async #more(): Promise<void> {
    if (this.#role !== "alone") {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      return;
    }
    // A tab whose reader is slow does not lead. This one has read everything.
    this.#tabs?.candidate();
    if (!this.#join()) await this.#openLine().read();
  }

  /** This tab's line. Opens it if it must. */
  #openLine(): Line {
    this.#line ??= this.#open();
    return this.#line;
  }

  #open(): Line {
    const options = {
      ...this.#options,
      after: this.#head.lastId,
      signal: undefined,
      onLog: undefined,
      onConnection: (change: ConnectionChange) => this.#connectionChanged(line, change),
    };
    const line: Line = new Line(new Subscription(options, this.#credentials), {
      stepped: (line, step) => this.#stepped(line, step),
      failed: (line, error) => this.#failed(line, error),
    });
    this.#isOpen = false;
    return line;
  }

  #closeLine(): void {
    this.#line?.close();
    this.#line = undefined;
  }

  #connectionChanged(line: Line, { state, error, retryInMs }: ConnectionChange): void {
    if (line !== this.#line || state === "closed") return;
    this.#isOpen = state === "open";
    this.#isAdmitted ||= this.#isOpen;
    this.#reporter.change(state, error, retryInMs);
    if (this.#role !== "leading") return;
    const change = { state, error: toShared(error), retryInMs };
    this.#tabs?.post({ kind: "connection", change });
  }

  /** This tab's line made a step. */
  #stepped(line: Line, step: Step): void {
    if (line !== this.#line) return;
    try {
      this.#take(step);
    } catch (error) {
      this.#failed(line, error);
      return;
    }
    const leads = this.#role === "leading";
    if (leads) this.#tabs?.post({ kind: "step", step });
    if (step.isEnd) this.#stopSharing();
    else if (leads && this.#unread.full) this.#beAlone("The reader of this tab is slow");
  }

  #failed(line: Line, error: unknown): void {
    if (line !== this.#line) return;
    const { code, message } = error as Partial<SubscribeError>;
    // The operator means this subscriber, and not one of its tabs.
    if (this.#role === "leading" && code === "disconnected-by-operator")
      this.#tabs?.post({ kind: "disconnected", message: message ?? "" });
    this.#fail(error);
  }

  /** Ends this tab's subscription after what it has received. */
  #fail(error: unknown): void {
    this.#unread.fail(error);
    this.#stopSharing();
    this.#wake();
  }

  /** Takes a step for the reader. Throws a `SubscribeError` `gap` when it does not follow. */
  #take(step: Step): void {
    if (step.event) {
      const { id, event, data, count } = step.event;
      this.#received.accept({ id: id ?? undefined, event, data, count });
      this.#reporter.eventCame = true;
    }
    this.#head = { lastId: step.lastId, position: step.after };
    this.#unread.push(step);
    this.#wake();
  }

  #startSharing(): void {
    this.#meet();
    this.#stopWatching = onFreeze(
      () => this.#freeze(),
      () => {
        if (this.#role !== "frozen") return;
        this.#meet();
        this.#beAlone("The page goes on");
      },
    );
  }

  /** Meets the other tabs, if the platform can. */
  #meet(): void {
    const { shareTabs, tabSilenceMs = 10_000 } = this.#options;
    const { url } = this.#credentials.endpoint as Endpoint;
    try {
      this.#tabs = Tabs.meet(groupName(url, shareTabs, this.#options), tabSilenceMs, {
        granted: () => this.#lead(),
        lost: () => this.#beAlone("Another tab has taken over"),
        unavailable: (error) => this.#unshare(error),
        heard: (message) => this.#heard(message),
        silent: () => this.#leaderIsSilent(),
      });
    } catch (error) {
      // Browsers refuse channels to pages that may not store anything.
      this.#unshare(error);
    }
  }

  #stopSharing(): void {
    this.#stopWatching();
    this.#tabs?.close();
    this.#tabs = undefined;
    this.#closeLine();
  }

  /** The platform refuses locks, so this tab goes on alone. */
  #unshare(error: unknown): void {
    this.#log("info", "This tab can't share its connection", error);
    this.#tabs?.close();
    this.#tabs = undefined;
    this.#beAlone("The platform refuses");
  }

  #freeze(): void {
    this.#takeMove();
    this.#role = "frozen";
    this.#tabs?.close();
    this.#tabs = undefined;
    this.#leader.forget();
    // Without a position another line might start elsewhere.
    if (this.#head.position !== null) this.#closeLine();
  }

  /** Has its own connection, at the reader's speed, after the last step. */
  #beAlone(why: string): void {
    this.#log("debug", `This tab follows by itself: ${why}`);
    if (this.#role === "leading") this.#tabs?.resign();
    this.#role = "alone";
    if (this.#unread.full) this.#tabs?.resign();
    this.#wake();
  }

  /** The lock was granted. */
  #lead(): void {
    this.#log("debug", "This tab leads");
    this.#role = "leading";
    this.#leader.forget();
    const line = this.#openLine();
    this.#announce();
    this.#wake();
    void this.#pump(line);
  }

  /** Reads on for the other tabs, also while this tab's reader does something else. */
  async #pump(line: Line): Promise<void> {
    while (this.#role === "leading" && line === this.#line) await line.read();
  }

  /** Sends the position of the leading tab. */
  #announce(): void {
    const move = this.#takeMove();
    if (move) this.#tabs?.post({ kind: "step", step: move });
    const { position } = this.#head;
    this.#tabs?.post({ kind: "position", position, isOpen: this.#isOpen });
  }

  /** Passes the events that the broker has filtered since the last step. */
  #takeMove(): Step | undefined {
    const move = this.#line?.takeMove();
    if (move) this.#take(move);
    return move;
  }

  /** Returns whether the message is from the leading tab. */
  #heard(message: Message): boolean {
    if (message.kind === "hello" && this.#role === "leading") this.#announce();
    if (message.kind === "hello" || message.kind === "here") return false;
    if (this.#role === "leading" || !this.#isFromLeader(message)) return false;
    if (this.#role === "following") {
      this.#heardAsFollower(message);
    } else {
      this.#leader.keep(message);
      this.#join();
    }
    return true;
  }

  /** Whether the message counts. A tab that has lost the leadership may not know it yet. */
  #isFromLeader(message: Message): boolean {
    if (this.#leader.hasSent(message)) return true;
    if (this.#role === "following" && message.kind !== "position") return false;
    this.#leader.replace(message);
    this.#tabs?.post({ kind: "here" });
    return true;
  }

  #heardAsFollower(message: Message): void {
    let why: string | undefined;
    if (message.kind === "step") why = this.#follow(message.step);
    if (message.kind === "position" && message.position !== this.#head.position)
      why = "The leading tab is at another position";
    if (message.kind === "connection") {
      const { state, error, retryInMs } = message.change;
      this.#reporter.change(state, fromShared(error), retryInMs);
    }
    if (message.kind === "disconnected")
      this.#fail(new SubscribeError("disconnected-by-operator", message.message));
    if (why === undefined) return;
    this.#leader.keep(message);
    this.#beAlone(why);
  }

  /** Takes a step of the leading tab. Returns why not, if it does not follow or is too much. */
  #follow(step: Step): string | undefined {
    if (this.#unread.full) return "The reader of this tab is slow";
    if (step.before !== this.#head.position) return "A step of the leading tab does not follow";
    try {
      this.#take(step);
    } catch (error) {
      return (error as Error).message;
    }
    if (step.isEnd) this.#stopSharing();
    return undefined;
  }

  /** Joins the leading tab if this tab's position is among its latest ones. Returns whether. */
  #join(): boolean {
    if (this.#role !== "alone" || !this.#isAdmitted || this.#unread.full) return false;
    this.#takeMove();
    const steps = this.#leader.takeStepsAfter(this.#head.position);
    if (!steps) return false;
    this.#log("debug", "This tab follows the leading tab");
    this.#role = "following";
    this.#closeLine();
    for (const step of steps) {
      const why = this.#follow(step);
      if (why === undefined) continue;
      this.#beAlone(why);
      return false;
    }
    return true;
  }

  #leaderIsSilent(): void {
    this.#leader.forget();
    if (this.#role === "following") this.#beAlone("The leading tab is silent");
  }
}
