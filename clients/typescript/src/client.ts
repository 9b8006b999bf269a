import { Api, type ClientOptions } from "./api.js";
import type {
  CallOptions,
  CancelOptions,
  ClientFilter,
  EndOptions,
  FailOptions,
  RenewOptions,
  SignalOptions,
  StreamOptions,
  TokenOptions,
  TokenScope,
} from "./client-options.js";
import { ApiError } from "./errors.js";
import type {
  Access,
  AddEvents,
  Added,
  BrokerInfo,
  CancelStream,
  ClientRow,
  CreateStream,
  Disconnected,
  EndStream,
  Event,
  FailStream,
  Finished,
  Permission,
  Renewed,
  RenewStream,
  SendSignal,
  SignalSent,
  Signals,
  StoredEvent,
  StreamRow,
  StreamState,
} from "./generated/openapi.js";
import type { PublishOptions } from "./publish/options.js";
import { Writer } from "./publish/writer.js";
import type { SubscribeManyOptions } from "./subscribe/many-options.js";
import type { ManySubscription } from "./subscribe/many-subscription.js";
import type { SubscribeOptions, Subscription } from "./subscribe/subscription.js";
import { subscribe, subscribeMany } from "./subscribe.js";
import { respondedWithin } from "./timeout.js";

/**
 * How many events a stream keeps unless its creator sets another number. The broker's own default
 * of 500 is too low for the answer of a model: a subscriber needs every token.
 */
const MAX_EVENTS = 100_000;

/** The options of `subscribe` that mean the same here, where the URL and the tokens are known. */
type SharedOptions =
  | "events"
  | "from"
  | "wait"
  | "clientName"
  | "tags"
  | "signal"
  | "silenceMs"
  | "giveUpAfterMs"
  | "rollup"
  | "rollupPath"
  | "rollupMs"
  | "onConnection"
  | "onLog"
  | "onConnect"
  | "onReconnect";

/** The permissions of the tokens that a backend issues for its own subscriptions. */
const PERMISSIONS: Permission[] = ["read", "signal"];

/**
 * The client of a backend. It holds the API key, which must not reach a browser.
 *
 * Calls throw an `ApiError` when the broker answers with an error, and an `UnreachableError` when
 * it can't be reached, or does not respond in time. They are not tried again; only the writers of
 * `publish` try again. Results have the field names of the OpenAPI document.
 */
export class Client {
  readonly #api: Api;

  constructor(options: ClientOptions) {
    this.#api = new Api(options);
  }

  /**
   * Creates a stream and a token for it. Throws `existing-stream` when the stream at this key is
   * active. A finished one is replaced. `if_exists` and `if_finished` change that, and `created` of
   * the result says whether this call created the stream.
   *
   * The stream keeps its newest `max_events` events (100,000), so that a late subscriber gets a
   * whole answer. A word takes about 25 bytes in Redis.
   */
  createStream(key: string, options: StreamOptions & CallOptions = {}): Promise<Access> {
    const { signal, max_events = MAX_EVENTS, ...others } = options;
    const body = { key, max_events, ...others } as CreateStream;
    return this.#call(signal, (init) => this.#api.routes.POST("/api/stream", { body, ...init }));
  }

  /**
   * Issues a token for a stream, for several, or for all streams whose keys begin with a prefix,
   * also later ones. With `wait` the token also opens streams that do not exist yet.
   */
  issueToken(
    scope: string | TokenScope,
    options: TokenOptions & CallOptions = {},
  ): Promise<Access> {
    const { signal, ...others } = options;
    const body = { ...(typeof scope === "string" ? { key: scope } : scope), ...others };
    return this.#call(signal, (init) =>
      this.#api.routes.POST("/api/stream/token", { body, ...init }),
    );
  }

  /**
   * The active streams, sorted by key. With a pattern, those whose keys match the glob (`*`, `?`,
   * `[…]`).
   */
  listStreams(pattern?: string, { signal }: CallOptions = {}): Promise<StreamRow[]> {
    const query = pattern === undefined ? {} : { pattern };
    return this.#call(signal, (init) =>
      this.#api.routes.GET("/api/stream", { params: { query }, ...init }),
    );
  }

  /** The state of a stream, active or finished. */
  streamInfo(key: string, { signal }: CallOptions = {}): Promise<StreamState> {
    return this.#call(signal, (init) =>
      this.#api.routes.GET("/api/stream/info", { params: { query: { key } }, ...init }),
    );
  }

  /** All stored events of a stream, active or finished. */
  streamEvents(key: string, { signal }: CallOptions = {}): Promise<StoredEvent[]> {
    return this.#call(signal, (init) =>
      this.#api.routes.GET("/api/stream/events", { params: { query: { key } }, ...init }),
    );
  }

  /**
   * Ends a stream. Nothing can be added to it, and its subscribers are closed when they have all
   * events. When the stream is already finished, the result is the status that it has.
   */
  endStream(key: string, options: EndOptions & CallOptions = {}): Promise<Finished> {
    const { signal, ...others } = options;
    const body = { key, ...others } as EndStream;
    return this.#finish(signal, (init) =>
      this.#api.routes.POST("/api/stream/end", { body, ...init }),
    );
  }

  /**
   * Cancels a stream: ends it, and its subscribers learn that it is not complete. When the stream
   * is already finished, the result is the status that it has.
   */
  cancelStream(key: string, options: CancelOptions & CallOptions = {}): Promise<Finished> {
    const { signal, ...others } = options;
    const body = { key, ...others } as CancelStream;
    return this.#finish(signal, (init) =>
      this.#api.routes.POST("/api/stream/cancel", { body, ...init }),
    );
  }

  /**
   * Fails a stream: ends it, and its subscribers learn that it broke off, and why. When the stream
   * is already finished, the result is the status that it has.
   */
  failStream(key: string, options: FailOptions & CallOptions = {}): Promise<Finished> {
    const { signal, ...others } = options;
    const body = { key, ...others } as FailStream;
    return this.#finish(signal, (init) =>
      this.#api.routes.POST("/api/stream/fail", { body, ...init }),
    );
  }

  /**
   * Sends a signal to the producer of an active stream. `stop` asks it to finish. Returns the
   * number of the signal. A second `stop` is not stored, and neither is a signal with an `id` that
   * was used before: the result has the number of the first one.
   */
  sendSignal(
    key: string,
    name: string,
    options: SignalOptions & CallOptions = {},
  ): Promise<SignalSent> {
    const { signal, ...others } = options;
    const body = { name, ...others } as SendSignal;
    const params = { query: { key } };
    return this.#call(signal, (init) =>
      this.#api.routes.POST("/api/client/signal", { params, body, ...init }),
    );
  }

  /**
   * The signals of a stream, active or finished, after the one with the number `after`. A long list
   * comes in parts: ask again with the number of the last one.
   */
  readSignals(key: string, after = 0, { signal }: CallOptions = {}): Promise<Signals> {
    const params = { query: { key, after } };
    return this.#call(signal, (init) =>
      this.#api.routes.GET("/api/stream/signals", { params, ...init }),
    );
  }

  /**
   * Shows that the producer of a stream lives, and returns the stream's deadlines. With `stop_ack`
   * the producer gets the time to follow a stop once more.
   */
  renewStream(key: string, options: RenewOptions & CallOptions = {}): Promise<Renewed> {
    const { signal, ...others } = options;
    const body = { key, ...others } as RenewStream;
    return this.#call(signal, (init) =>
      this.#api.routes.POST("/api/stream/renew", { body, ...init }),
    );
  }

  /** Writes a batch of events, all or none. Use `publish` for events that come one by one. */
  addEvents(
    key: string,
    events: Event[],
    options: Omit<AddEvents, "key" | "events"> & CallOptions = {},
  ): Promise<Added> {
    const { signal, ...producer } = options;
    return this.#call(signal, (init) =>
      this.#api.routes.POST("/api/event/add", { body: { key, events, ...producer }, ...init }),
    );
  }

  /** The subscribers that are connected to the node that answers, filtered by key or tag. */
  listClients({ signal, ...query }: ClientFilter & CallOptions = {}): Promise<ClientRow[]> {
    return this.#call(signal, (init) =>
      this.#api.routes.GET("/api/clients", { params: { query }, ...init }),
    );
  }

  /**
   * Disconnects a subscriber of the node that answers. Over WebSocket, the client libraries do not
   * connect again.
   */
  disconnectClient(id: string, { signal }: CallOptions = {}): Promise<Disconnected> {
    return this.#call(signal, (init) =>
      this.#api.routes.DELETE("/api/clients/{id}", { params: { path: { id } }, ...init }),
    );
  }

  /** Version, settings and load of the broker. */
  brokerInfo({ signal }: CallOptions = {}): Promise<BrokerInfo> {
    return this.#call(signal, (init) => this.#api.routes.GET("/api/info", init));
  }

  /** Returns `OK` when the broker can work. Otherwise it throws the broker's 503. */
  ready({ signal }: CallOptions = {}): Promise<string> {
    return this.#call(signal, (init) =>
      this.#api.routes.GET("/api/ready", { parseAs: "text", ...init }),
    );
  }

  /**
   * A writer for an active stream. The caller must call `finish`, `cancel`, `fail` or `close`.
   * Otherwise the writer keeps its lease as long as the process lives. `await using` calls
   * `finish`.
   *
   * Throws a `RangeError` when `lease` or `coalesceMs` is out of its range.
   */
  publish(key: string, options?: PublishOptions): Writer;
  /**
   * Calls the function with a writer, as `Writer.run` does. Finishes the stream when the function
   * returns. Fails it when the function throws. Cancels it when the producer was asked to stop; the
   * result is then undefined if the function threw.
   */
  publish<T>(
    key: string,
    write: (writer: Writer) => T | Promise<T>,
    options?: PublishOptions,
  ): Promise<T | undefined>;
  publish<T>(
    key: string,
    optionsOrWrite: PublishOptions | ((writer: Writer) => T | Promise<T>) = {},
    options: PublishOptions = {},
  ): Writer | Promise<T | undefined> {
    if (typeof optionsOrWrite !== "function") return new Writer(this.#api, key, optionsOrWrite);
    return new Writer(this.#api, key, options).run(optionsOrWrite);
  }

  /**
   * Follows a stream as `subscribe` of `tinistreamer/subscribe` does, at this client's URL and with
   * tokens that it issues when they are needed. For backends. Browsers use the `sse_url` and a
   * token.
   */
  subscribe(
    key: string,
    options: Pick<SubscribeOptions, "after" | SharedOptions> = {},
  ): Subscription {
    return subscribe({
      onLog: this.#api.onLog,
      ...options,
      url: this.#api.url("/api/client/sse", { key }),
      token: async () => (await this.issueToken(key, tokenOptions(options))).token,
      fetch: this.#api.fetch,
    });
  }

  /**
   * Follows several streams as `subscribeMany` of `tinistreamer/subscribe` does. Its tokens are for
   * these streams, or for `prefix`. With `prefix`, streams can be added whose keys begin with it.
   */
  subscribeMany(
    keys: string[],
    options: Pick<SubscribeManyOptions, "after" | SharedOptions> & {
      prefix?: string | undefined;
    } = {},
  ): ManySubscription {
    const { prefix, ...rest } = options;
    const scope = prefix === undefined ? { keys } : { prefix };
    return subscribeMany({
      onLog: this.#api.onLog,
      ...rest,
      url: this.#api.url("/api/client/sse", {}),
      keys,
      token: async () =>
        (await this.issueToken(scope, tokenOptions(prefix === undefined ? rest : {}))).token,
      fetch: this.#api.fetch,
    });
  }

  /** Finishes a stream. A stream that is already finished is a success, too. */
  #finish(signal: AbortSignal | undefined, route: Route<Finished>): Promise<Finished> {
    return this.#call(signal, route).catch((error) => {
      if (!(error instanceof ApiError && error.code === "no-active-stream")) throw error;
      if (error.streamStatus === undefined) throw error;
      return { status: error.streamStatus };
    });
  }

  #call<T>(signal: AbortSignal | undefined, route: Route<T>): Promise<T> {
    return respondedWithin(this.#api.timeoutMs, signal, (signal) =>
      this.#api.call(route({ signal }), signal),
    );
  }
}

/** Calls a route of the broker. */
type Route<T> = (init: {
  signal: AbortSignal;
}) => Promise<{ data?: T; error?: unknown; response: Response }>;

/** A subscriber that waits for streams needs a token that does so, too. */
function tokenOptions({ wait }: { wait?: boolean | undefined }): TokenOptions {
  return { permissions: PERMISSIONS, ...(wait ? { wait } : {}) };
}
