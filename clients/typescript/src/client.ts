import { Api, type ClientOptions } from "./api.js";
import type {
  Access,
  AddEvents,
  Added,
  BrokerInfo,
  ClientRow,
  CreateStream,
  Disconnected,
  Event,
  Finished,
  StoredEvent,
  StreamRow,
  StreamState,
} from "./generated/openapi.js";
import { type PublishOptions, Writer } from "./publish/writer.js";
import type { ManySubscription, SubscribeManyOptions } from "./subscribe/many-subscription.js";
import type { SubscribeOptions, Subscription } from "./subscribe/subscription.js";
import { subscribe, subscribeMany } from "./subscribe.js";

/** Filters the list of the subscribers that are connected to a node. */
export interface ClientFilter {
  /** Only subscribers of the stream at this key. */
  key?: string;
  /** Only subscribers with this tag. */
  tag?: string;
}

/** The streams that a token opens: those at these keys, or all whose keys begin with the prefix. */
export type TokenScope = { keys: string[] } | { prefix: string };

/** Options of a token. */
export interface TokenOptions {
  /** How many seconds it is valid. */
  ttl?: number;
  /** Also open streams that do not exist yet. A token for a prefix always does. */
  wait?: boolean;
}

/**
 * How many events a stream keeps unless its creator sets another number. The broker's own default
 * of 500 is too low for the answer of a model, of which a subscriber needs every token.
 */
const MAX_EVENTS = 100_000;

/** Options of a stream. */
export interface StreamOptions {
  /**
   * How many seconds the stream exists after its last write. The broker's setting, unless it is
   * set.
   */
  ttl?: number | null | undefined;
  /** About how many events it keeps. 100,000. Null takes the broker's setting. */
  max_events?: number | null | undefined;
}

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
  | "onConnect"
  | "onReconnect";

/** Options of every call. */
export interface CallOptions {
  /** Aborting it makes the call throw its reason. The broker may have executed the request. */
  signal?: AbortSignal | undefined;
}

/**
 * The client of a backend. It holds the API key, which must not reach a browser.
 *
 * Calls throw an `ApiError` when the broker answers with an error, and an `UnreachableError` when
 * it can't be reached. They are not tried again; only the writers of `publish` try again. Results
 * have the field names of the OpenAPI document.
 */
export class Client {
  readonly #api: Api;

  constructor(options: ClientOptions) {
    this.#api = new Api(options);
  }

  /**
   * Creates a stream and a token for it. Throws `existing-stream` when the stream at this key is
   * active. A finished one is replaced.
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
   * events.
   */
  endStream(key: string, { signal }: CallOptions = {}): Promise<Finished> {
    return this.#call(signal, (init) =>
      this.#api.routes.POST("/api/stream/end", { body: { key }, ...init }),
    );
  }

  /** Cancels a stream: ends it, and its subscribers learn that it is not complete. */
  cancelStream(key: string, { signal }: CallOptions = {}): Promise<Finished> {
    return this.#call(signal, (init) =>
      this.#api.routes.POST("/api/stream/cancel", { body: { key }, ...init }),
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
   * A writer for an active stream. The caller must call `finish`, `cancel` or `close`. `await
   * using` calls `finish`.
   */
  publish(key: string, options?: PublishOptions): Writer;
  /**
   * Calls the function with a writer, as `Writer.run` does. Finishes the stream when the function
   * returns. Cancels it when the function throws, because the stream is then not complete.
   */
  publish<T>(
    key: string,
    write: (writer: Writer) => T | Promise<T>,
    options?: PublishOptions,
  ): Promise<T>;
  publish<T>(
    key: string,
    optionsOrWrite: PublishOptions | ((writer: Writer) => T | Promise<T>) = {},
    options: PublishOptions = {},
  ): Writer | Promise<T> {
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
      ...options,
      url: this.#api.url("/api/client/sse", { key }),
      token: async () => (await this.issueToken(key, waitOption(options))).token,
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
      ...rest,
      url: this.#api.url("/api/client/sse", {}),
      keys,
      token: async () =>
        (await this.issueToken(scope, prefix === undefined ? waitOption(rest) : {})).token,
      fetch: this.#api.fetch,
    });
  }

  #call<T>(
    signal: AbortSignal | undefined,
    route: (init: {
      signal?: AbortSignal;
    }) => Promise<{ data?: T; error?: unknown; response: Response }>,
  ): Promise<T> {
    return this.#api.call(route(signal ? { signal } : {}), signal);
  }
}

/** A subscriber that waits for streams needs a token that does so, too. */
function waitOption({ wait }: { wait?: boolean | undefined }): TokenOptions {
  return wait ? { wait } : {};
}
