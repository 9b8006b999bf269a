import { UnreachableError } from "../errors.js";
import { apiError } from "../http.js";
import { respondedWithin, withTimeout } from "../timeout.js";
import {
  closeAtOnce,
  nodeWebSocket,
  onRefusal,
  openWithHeaders,
  rejectsHeaders,
  type WebSocketLike,
  webSocketClass,
  withScheme,
} from "../websocket.js";
import type { Outbox } from "./outbox.js";
import { EventRefused } from "./retry.js";
import type { Destination, Transport } from "./transport.js";

/**
 * Sends each event as a message, and takes a reply to each. The socket stays open between events.
 */
export class WebSocketTransport implements Transport {
  readonly #destination: Destination;
  #connection: Connection | undefined;

  constructor(destination: Destination) {
    this.#destination = destination;
  }

  async drain(outbox: Outbox, timeout: () => number, signal: AbortSignal): Promise<void> {
    // The broker may have closed a socket that was idle for long.
    if (this.#connection?.failure) this.#connection = undefined;
    this.#connection ??= this.#open(outbox);
    const connection = this.#connection;
    try {
      while (outbox.pending > 0) {
        connection.sendAll();
        await this.#nextChange(connection, outbox, timeout(), signal);
        if (connection.failure)
          throw connection.refused
            ? await this.#explainRefusal(connection.failure, timeout(), signal)
            : connection.failure;
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }

  #open(outbox: Outbox): Connection {
    const { WebSocket, api } = this.#destination;
    const url = withScheme(this.#url({ sequence: String(outbox.acknowledged) }), "ws");
    try {
      return new Connection(openWithHeaders(webSocketClass(WebSocket), url, api.headers), outbox);
    } catch (error) {
      if (!rejectsHeaders(error)) throw error;
      throw new TypeError(
        "This platform's WebSocket can't send the API key, which goes only into a header",
        { cause: error },
      );
    }
  }

  #url(more: Record<string, string>): URL {
    const { api, key, producer, generation } = this.#destination;
    const named = generation === undefined ? {} : { generation };
    return api.url("/api/event/add/ws-stream", { key, producer, ...named, ...more });
  }

  #nextChange(
    connection: Connection,
    outbox: Outbox,
    timeout: number,
    signal: AbortSignal,
  ): Promise<void> {
    if (connection.failure) return Promise.resolve();
    return withTimeout<void>(timeout, signal, (resolve) => {
      connection.onChange(resolve);
      outbox.onPush(resolve);
    }).catch((error) => {
      throw signal.aborted ? error : new UnreachableError(error);
    });
  }

  /**
   * The broker's error for a handshake that failed. A WebSocket may hide that error, so a plain
   * request goes to the same URL. Its status 426 means that only the upgrade is missing.
   */
  #explainRefusal(failure: Error, timeout: number, signal: AbortSignal): Promise<Error> {
    const { api } = this.#destination;
    return respondedWithin(timeout, signal, async (signal) => {
      const error = await api
        .fetch(this.#url({}).href, { headers: api.headers, signal })
        .then(apiError)
        .catch((cause) => {
          throw signal.aborted ? signal.reason : new UnreachableError(cause);
        });
      return error.status === 426 ? failure : error;
    });
  }
}

/** One WebSocket connection of a writer. */
class Connection {
  /** Why the connection is closed. Undefined while it is open. */
  failure: Error | undefined;
  readonly #socket: WebSocketLike;
  readonly #outbox: Outbox;
  readonly #reportsRefusal: boolean;
  #opened = false;
  /** The number of the next event to send. */
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
          ? new EventRefused("too-large", "An event is larger than the broker takes")
          : new UnreachableError(new Error(`The WebSocket was closed with ${code}`));
    };
    const replied = ({ data }: { data: unknown }) =>
      this.#take(JSON.parse(String(data)) as EventReply);
    socket.addEventListener("open", changing(opened));
    socket.addEventListener("message", changing(replied));
    socket.addEventListener("close", changing(closed));
    // The event `close` follows and contains more. The listener is here because `ws` throws an
    // error that has no listener.
    socket.addEventListener("error", () => {});
    const node = nodeWebSocket(socket);
    this.#reportsRefusal = node !== undefined;
    onRefusal(node, (error) => {
      this.failure ??= error;
      this.#changed();
    });
  }

  /**
   * Whether the handshake failed without the broker's error. The broker may have sent one that the
   * socket hides.
   */
  get refused(): boolean {
    return !this.#opened && !this.#reportsRefusal;
  }

  /** Sends the events of the outbox that were not sent yet. */
  sendAll(): void {
    if (!this.#opened) return;
    for (const line of this.#outbox.window(this.#next)) {
      this.#socket.send(line);
      this.#next += 1;
    }
  }

  /** Calls `changed` when something happens on the socket. */
  onChange(changed: () => void): void {
    this.#changed = changed;
  }

  close(): void {
    this.failure ??= new UnreachableError(new Error("The WebSocket was closed here"));
    closeAtOnce(this.#socket);
  }

  #take(reply: EventReply): void {
    if (reply.type === "success") this.#outbox.acknowledge(1, reply.id);
    else this.failure = new EventRefused(reply.code, reply.message, reply.stream_status);
  }
}

/** The broker's reply to an event. */
type EventReply =
  | { type: "success"; id: string | null }
  | { type: "error"; code: string; message: string; stream_status?: string };
