import { type ApiError, SubscribeError } from "../errors.js";
import { apiError } from "../http.js";
import { within } from "../timing.js";
import {
  letGo,
  nodeWebSocket,
  onRefusal,
  openPlain,
  openWithHeaders,
  takesNoHeaders,
  type WebSocketLike,
  webSocketClass,
  withScheme,
} from "../websocket.js";
import type { Answer, Attempt, Signal } from "./connection.js";
import type { RawEvent } from "./event.js";

/** Unread events at which the sender is held back, where the WebSocket can do that. */
const PAUSE_AT = 16;
/** Unread events at which the connection is closed, where it can't. */
const CLOSE_AT = 1_000;
/** The close code by which a broker tells that an operator has disconnected the client. */
const BY_OPERATOR = 1008;
/** Milliseconds to wait at the most for the reason of a refusal. */
const MAX_EXPLANATION = 10_000;

/** A connection over WebSocket. */
export async function* connectWebSocket(attempt: Attempt): AsyncGenerator<Signal, void, void> {
  const url = withScheme(attempt.url, "ws");
  if (attempt.after !== undefined) url.searchParams.set("last_event_id", attempt.after);
  const socket = open(attempt, url);
  const inbox = new Inbox(socket);
  // Also while the reader is busy with an event.
  const leave = () => inbox.leave();
  attempt.signal.addEventListener("abort", leave);
  let told = false;
  try {
    for (;;) {
      if (inbox.opened && !told) {
        told = true;
        yield { kind: "open", send: (request) => socket.send(request) };
      }
      for (let message = inbox.next(); message; message = inbox.next()) {
        yield "op" in message
          ? { kind: "answer", answer: message }
          : { kind: "event", event: message };
      }
      if (inbox.overflowed) return yield { kind: "again" };
      if (inbox.end) return yield await ending(inbox, attempt, url);
      await within<void>(attempt.patience(), attempt.signal, (resolve) => inbox.onChange(resolve));
      if (inbox.takeSignOfLife()) yield { kind: inbox.empty ? "heartbeat" : "alive" };
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
      if (!takesNoHeaders(error)) throw error;
    }
  }
  const withToken = new URL(url);
  withToken.searchParams.set("token", token);
  return openPlain(Constructor, withToken);
}

/** What the end of the socket means. */
async function ending(
  { opened, tellsRefusal, end, onlyEmptyHistory }: Inbox,
  attempt: Attempt,
  url: URL,
): Promise<Signal> {
  if (end instanceof Error) throw end;
  if (!opened && !tellsRefusal) await explainRefusal(attempt, url);
  if (end?.code === BY_OPERATOR) {
    throw new SubscribeError(
      "disconnected-by-operator",
      "An operator has disconnected this client",
    );
  }
  // That is how the broker tells that there is nothing after the last id. With events but without
  // the stream's last one, the socket was closed by something between.
  if (end?.code === 1000 && onlyEmptyHistory) return { kind: "over" };
  throw new Error(`The WebSocket was closed with ${end?.code} before the stream's end`);
}

/**
 * Throws the broker's error for a handshake that failed. A browser's WebSocket hides it, so a plain
 * request asks the same URL: 426 says that all but the upgrade is good.
 */
async function explainRefusal(
  { fetch, token, patience, signal }: Attempt,
  url: URL,
): Promise<void> {
  const error = await within<ApiError>(
    Math.min(patience(), MAX_EXPLANATION),
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

/** What came over the socket and was not asked for yet. */
class Inbox {
  opened = false;
  /** How the socket was closed, or what was wrong with what came over it. */
  end: { code: number } | Error | undefined;
  /** More came than may wait. What came too much is left to the next connection. */
  overflowed = false;
  /** The array of prior events came, was empty, and nothing followed. */
  onlyEmptyHistory = false;
  #messages: (RawEvent | Answer)[] = [];
  #read = 0;
  #heard = false;
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
    // `close` follows and says more; but `ws` throws an error that nobody listens to.
    socket.addEventListener("error", () => {});
    // Browsers keep to themselves why a handshake failed and that the broker pinged, and can't hold
    // it back.
    const node = nodeWebSocket(socket);
    this.#node = node;
    onRefusal(node, (error) => {
      this.end = error;
      this.#changed();
    });
    node?.on("ping", () => {
      this.#heard = true;
      this.#changed();
    });
  }

  /** Whether an answer other than the handshake's shows in `end`. */
  get tellsRefusal(): boolean {
    return this.#node !== undefined;
  }

  /** Whether a message or a ping came since this was asked last. */
  takeSignOfLife(): boolean {
    const heard = this.#heard;
    this.#heard = false;
    return heard;
  }

  /** Whether nothing is unread. */
  get empty(): boolean {
    return this.#messages.length === 0;
  }

  /** The oldest unread event or answer. */
  next(): RawEvent | Answer | undefined {
    const message = this.#messages[this.#read];
    if (message) this.#read += 1;
    if (this.#read === this.#messages.length) {
      this.#messages = [];
      this.#read = 0;
    }
    return message;
  }

  /** Calls `changed` at what happens next. */
  onChange(changed: () => void): void {
    this.#node?.resume();
    this.#changed = changed;
  }

  leave(): void {
    this.#changed = () => {};
    letGo(this.#socket);
  }

  #take(data: unknown): void {
    this.#heard = true;
    if (this.overflowed || this.end) return;
    if (this.#messages.length - this.#read >= CLOSE_AT && !this.#node) {
      this.overflowed = true;
      letGo(this.#socket);
      return;
    }
    try {
      const message = JSON.parse(String(data)) as RawEvent | Answer | RawEvent[];
      this.onlyEmptyHistory = Array.isArray(message) && message.length === 0;
      if (Array.isArray(message)) this.#messages = this.#messages.concat(message);
      else this.#messages.push(message);
      if (this.#messages.length >= PAUSE_AT) this.#node?.pause();
    } catch (error) {
      this.end = error as Error;
      letGo(this.#socket);
    }
  }
}
