import { type ApiError, SubscribeError } from "../errors.js";
import { apiError } from "../http.js";
import { withTimeout } from "../timeout.js";
import {
  closeAtOnce,
  nodeWebSocket,
  onRefusal,
  openPlain,
  openWithHeaders,
  rejectsHeaders,
  type WebSocketLike,
  webSocketClass,
  withScheme,
} from "../websocket.js";
import type { Attempt, Received } from "./connection.js";
import type { Frame, Reply } from "./frame.js";

/** How many unread events pause the socket, where the WebSocket can do that. */
const PAUSE_AT = 16;
/** How many unread events close the connection, where the socket can't be paused. */
const CLOSE_AT = 1_000;
/** The broker's close code when an operator has disconnected the subscriber. */
const BY_OPERATOR = 1008;
/** The longest time to wait for the reason of a refusal, in milliseconds. */
const MAX_EXPLANATION = 10_000;

/** Connects over WebSocket. */
export async function* connectWebSocket(attempt: Attempt): AsyncGenerator<Received, void, void> {
  const url = withScheme(attempt.url, "ws");
  if (attempt.after !== undefined) url.searchParams.set("last_event_id", attempt.after);
  const socket = open(attempt, url);
  const inbox = new Inbox(socket);
  // A listener, because the reader may be busy with an event when the signal is aborted.
  const leave = () => inbox.leave();
  attempt.signal.addEventListener("abort", leave);
  let announced = false;
  try {
    for (;;) {
      if (inbox.opened && !announced) {
        announced = true;
        yield { kind: "open", send: (request) => socket.send(request) };
      }
      for (let message = inbox.next(); message; message = inbox.next()) {
        yield "op" in message
          ? { kind: "reply", reply: message }
          : { kind: "frame", frame: message };
      }
      if (inbox.overflowed) return yield { kind: "again" };
      if (inbox.end) return yield await ending(inbox, attempt, url);
      await withTimeout<void>(attempt.timeout(), attempt.signal, (resolve) =>
        inbox.onChange(resolve),
      );
      if (inbox.takeActivity()) yield { kind: inbox.empty ? "heartbeat" : "alive" };
    }
  } finally {
    attempt.signal.removeEventListener("abort", leave);
    leave();
  }
}

function open({ WebSocket, token, tokenInQuery }: Attempt, url: URL): WebSocketLike {
  const Constructor = webSocketClass(WebSocket);
  if (!tokenInQuery) {
    try {
      return openWithHeaders(Constructor, url, { Authorization: `Bearer ${token}` });
    } catch (error) {
      if (!rejectsHeaders(error)) throw error;
    }
  }
  const withToken = new URL(url);
  withToken.searchParams.set("token", token);
  return openPlain(Constructor, withToken);
}

/** Returns or throws what the end of the socket means. */
async function ending(
  { opened, reportsRefusal, end, onlyEmptyHistory }: Inbox,
  attempt: Attempt,
  url: URL,
): Promise<Received> {
  if (end instanceof Error) throw end;
  if (!opened && !reportsRefusal) await explainRefusal(attempt, url);
  if (end?.code === BY_OPERATOR) {
    throw new SubscribeError(
      "disconnected-by-operator",
      "An operator has disconnected this client",
    );
  }
  // So the broker reports that nothing follows the last id. A close after some events, but before
  // the stream's last one, came from something between.
  if (end?.code === 1000 && onlyEmptyHistory) return { kind: "over" };
  throw new Error(`The WebSocket was closed with ${end?.code} before the stream's end`);
}

/**
 * Throws the broker's error for a handshake that failed. A browser's WebSocket hides that error, so
 * a plain request goes to the same URL. Its status 426 means that only the upgrade is missing.
 */
async function explainRefusal({ fetch, token, timeout, signal }: Attempt, url: URL): Promise<void> {
  const error = await withTimeout<ApiError>(
    Math.min(timeout(), MAX_EXPLANATION),
    signal,
    (resolve, reject) => {
      fetch(withScheme(url, "http").href, {
        headers: { Authorization: `Bearer ${token}` },
        cache: "no-store",
        signal,
      })
        .then(apiError)
        .then(resolve, reject);
    },
  );
  if (error.status !== 426) throw error;
}

/** Holds what came over the socket until the connection yields it. */
class Inbox {
  opened = false;
  /** The socket's close event, or the error of a message that could not be read. */
  end: { code: number } | Error | undefined;
  /** Too many events were unread. The next connection requests those that were dropped. */
  overflowed = false;
  /** Whether the array of earlier events was empty, and no event followed. */
  onlyEmptyHistory = false;
  #messages: (Frame | Reply)[] = [];
  #read = 0;
  #active = false;
  #changed = () => {};
  readonly #socket: WebSocketLike;
  readonly #node: ReturnType<typeof nodeWebSocket>;

  constructor(socket: WebSocketLike) {
    this.#socket = socket;
    const changing =
      <E>(listener: (event: E) => void) =>
      (event: E) => {
        listener(event);
        this.#changed();
      };
    const opened = () => {
      this.opened = true;
    };
    const closed = (event: { code: number }) => {
      this.end ??= event;
    };
    socket.addEventListener("open", changing(opened));
    socket.addEventListener(
      "message",
      changing(({ data }: { data: unknown }) => this.#take(data)),
    );
    socket.addEventListener("close", changing(closed));
    // The event `close` follows and contains more. The listener is here because `ws` throws an
    // error that has no listener.
    socket.addEventListener("error", () => {});
    // Only the package `ws` reports refusals and pings, and can pause. Browsers can't.
    const node = nodeWebSocket(socket);
    this.#node = node;
    onRefusal(node, (error) => {
      this.end = error;
      this.#changed();
    });
    node?.on("ping", () => {
      this.#active = true;
      this.#changed();
    });
  }

  /** Whether `end` contains the broker's error after a refused handshake. */
  get reportsRefusal(): boolean {
    return this.#node !== undefined;
  }

  /** Whether a message or a ping came since the last call. */
  takeActivity(): boolean {
    const active = this.#active;
    this.#active = false;
    return active;
  }

  /** Whether nothing is unread. */
  get empty(): boolean {
    return this.#messages.length === 0;
  }

  /** Takes the oldest unread frame or reply. */
  next(): Frame | Reply | undefined {
    const message = this.#messages[this.#read];
    if (message) this.#read += 1;
    if (this.#read === this.#messages.length) {
      this.#messages = [];
      this.#read = 0;
    }
    return message;
  }

  /** Calls `changed` when something happens on the socket. */
  onChange(changed: () => void): void {
    this.#node?.resume();
    this.#changed = changed;
  }

  leave(): void {
    this.#changed = () => {};
    closeAtOnce(this.#socket);
  }

  #take(data: unknown): void {
    this.#active = true;
    if (this.overflowed || this.end) return;
    if (this.#messages.length - this.#read >= CLOSE_AT && !this.#node) {
      this.overflowed = true;
      closeAtOnce(this.#socket);
      return;
    }
    try {
      const message = JSON.parse(String(data)) as Frame | Reply | Frame[];
      this.onlyEmptyHistory = Array.isArray(message) && message.length === 0;
      if (Array.isArray(message)) this.#messages = this.#messages.concat(message);
      else this.#messages.push(message);
      if (this.#messages.length >= PAUSE_AT) this.#node?.pause();
    } catch (error) {
      this.end = error as Error;
      closeAtOnce(this.#socket);
    }
  }
}
