import { UnreachableError } from "../errors.js";
import { apiError } from "../http.js";
import { within } from "../timing.js";
import {
  letGo,
  nodeWebSocket,
  onRefusal,
  openWithHeaders,
  takesNoHeaders,
  type WebSocketLike,
  webSocketClass,
  withScheme,
} from "../websocket.js";
import type { Outbox } from "./outbox.js";
import { answeredWithin, Refusal } from "./retry.js";
import type { Destination, Transport } from "./transport.js";

/**
 * Each event is a message of its own and has an answer of its own. The socket stays open between
 * events.
 */
export class WebSocketTransport implements Transport {
  readonly #destination: Destination;
  #session: Session | undefined;

  constructor(destination: Destination) {
    this.#destination = destination;
  }

  async drain(outbox: Outbox, patience: () => number, signal: AbortSignal): Promise<void> {
    // The broker may have closed a socket over which nothing was sent for long.
    if (this.#session?.failure) this.#session = undefined;
    this.#session ??= this.#open(outbox);
    const session = this.#session;
    try {
      while (outbox.pending > 0) {
        session.sendAll();
        await this.#somethingHappens(session, outbox, patience(), signal);
        if (session.failure)
          throw session.refused
            ? await this.#explainRefusal(session.failure, patience(), signal)
            : session.failure;
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    this.#session?.close();
    this.#session = undefined;
  }

  #open(outbox: Outbox): Session {
    const { api, key, producer, WebSocket } = this.#destination;
    const query = { key, producer, sequence: String(outbox.acknowledged) };
    const url = withScheme(api.url("/api/event/add/ws-stream", query), "ws");
    try {
      return new Session(openWithHeaders(webSocketClass(WebSocket), url, api.headers), outbox);
    } catch (error) {
      if (!takesNoHeaders(error)) throw error;
      throw new TypeError(
        "This platform's WebSocket can't send the API key, which goes only into a header",
        {
          cause: error,
        },
      );
    }
  }

  #somethingHappens(
    session: Session,
    outbox: Outbox,
    patience: number,
    signal: AbortSignal,
  ): Promise<void> {
    if (session.failure) return Promise.resolve();
    return within<void>(patience, signal, (resolve) => {
      session.onChange(resolve);
      outbox.onPush(resolve);
    }).catch((error) => {
      throw signal.aborted ? error : new UnreachableError(error);
    });
  }

  /**
   * The broker's error for a handshake that failed. A WebSocket may hide it, so a plain request
   * asks the same URL: 426 says that all but the upgrade is good.
   */
  #explainRefusal(failure: Error, patience: number, signal: AbortSignal): Promise<Error> {
    const { api, key, producer } = this.#destination;
    return answeredWithin(patience, signal, async (signal) => {
      const url = api.url("/api/event/add/ws-stream", { key, producer });
      const error = await api
        .fetch(url.href, { headers: api.headers, signal })
        .then(apiError)
        .catch((cause) => {
          throw signal.aborted ? signal.reason : new UnreachableError(cause);
        });
      return error.status === 426 ? failure : error;
    });
  }
}

/** One connection. */
class Session {
  /** Why it is over. */
  failure: Error | undefined;
  readonly #socket: WebSocketLike;
  readonly #outbox: Outbox;
  readonly #tellsRefusal: boolean;
  #opened = false;
  /** The number of the event that is sent next. */
  #next: number;
  #changed = () => {};

  constructor(socket: WebSocketLike, outbox: Outbox) {
    this.#socket = socket;
    this.#outbox = outbox;
    this.#next = outbox.acknowledged;
    const changing =
      <E>(listener: (event: E) => void) =>
      (event: E) => {
        if (this.failure) return;
        try {
          listener(event);
        } catch (error) {
          this.failure = error as Error;
        }
        this.#changed();
      };
    const opened = () => {
      this.#opened = true;
    };
    const closed = ({ code }: { code: number }) => {
      this.failure =
        code === 1009
          ? new Refusal("too-large", "An event is larger than the broker takes")
          : new UnreachableError(new Error(`The WebSocket was closed with ${code}`));
    };
    const answered = ({ data }: { data: unknown }) =>
      this.#answer(JSON.parse(String(data)) as Answer);
    socket.addEventListener("open", changing(opened));
    socket.addEventListener("message", changing(answered));
    socket.addEventListener("close", changing(closed));
    // `close` follows and says more; but `ws` throws an error that nobody listens to.
    socket.addEventListener("error", () => {});
    const node = nodeWebSocket(socket);
    this.#tellsRefusal = node !== undefined;
    onRefusal(node, (error) => {
      this.failure ??= error;
      this.#changed();
    });
  }

  /**
   * Whether the handshake failed, and the broker may have said why without the socket's telling.
   */
  get refused(): boolean {
    return !this.#opened && !this.#tellsRefusal;
  }

  /** Sends all that is to be sent and was not. */
  sendAll(): void {
    if (!this.#opened) return;
    for (const line of this.#outbox.window(this.#next)) {
      this.#socket.send(line);
      this.#next += 1;
    }
  }

  /** Calls `changed` at what happens next. */
  onChange(changed: () => void): void {
    this.#changed = changed;
  }

  close(): void {
    this.failure ??= new UnreachableError(new Error("The WebSocket was closed here"));
    letGo(this.#socket);
  }

  #answer(answer: Answer): void {
    if (answer.type === "success") this.#outbox.acknowledge(1, answer.id);
    else this.failure = new Refusal(answer.code, answer.message);
  }
}

/** What the broker says to an event. */
type Answer =
  | { type: "success"; id: string | null }
  | { type: "error"; code: string; message: string };
