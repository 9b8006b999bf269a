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
import type { ManySubscription, SubscribeManyOptions } from "./subscribe/many.js";
import type { SubscribeOptions, Subscription } from "./subscribe/subscription.js";
import { subscribe, subscribeMany } from "./subscribe.js";

/** Which clients of a node are listed. */
export interface ClientFilter {
  /** Those that follow the stream at this key. */
  key?: string;
  /** Those with this tag. */
  tag?: string;
}

/** The streams that a token opens: those at these keys, or all whose keys begin with the prefix. */
export type TokenScope = { keys: string[] } | { prefix: string };

/** What kind of token it is. */
export interface TokenOptions {
  /** Seconds for which it is good. */
  ttl?: number;
  /** Let in streams that are not there yet. A token for a prefix does so anyway. */
  wait?: boolean;
}

/**
 * Events that a stream keeps when its creator says nothing else. The broker's own default of 500 is
 * too few for an answer of a model, of which a subscriber wants every token.
 */
const MAX_EVENTS = 100_000;

/** What kind of stream it is. */
export interface StreamOptions {
  /**
   * Seconds that the stream lives after its last write. The broker's setting, unless it is given.
   */
  ttl?: number | null | undefined;
  /** How many events it keeps, about. 100,000; null: the broker's setting. */
  max_events?: number | null | undefined;
}

/** Options of `subscribe` that mean the same here, where URL and tokens are known. */
type Following =
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

/** What every call takes. */
export interface CallOptions {
  /**
   * Aborting it makes the call throw its reason. Whether the broker did what was asked is then not
   * known.
   */
  signal?: AbortSignal | undefined;
}

/**
 * The broker, for a backend: it holds the API key, which no browser should.
 *
 * Calls throw an `ApiError` when the broker answers with an error and an `UnreachableError` when it
 * can't be reached. Nothing is tried again by itself, except by the writers that `publish` makes.
 * Answers have the field names of the OpenAPI document.
 */
export class Client {
  readonly #api: Api;

  constructor(options: ClientOptions) {
    this.#api = new Api(options);
  }

  /**
   * Starts a stream, and makes a token for it. `existing-stream` when one at this key is active; a
   * finished one is replaced.
   *
   * The stream keeps its newest `max_events` events (100,000), so that a subscriber that comes late
   * gets all of an answer. A word takes about 25 bytes in Redis.
   */
  createStream(key: string, options: StreamOptions & CallOptions = {}): Promise<Access> {
    const { signal, max_events = MAX_EVENTS, ...others } = options;
    const body = { key, max_events, ...others } as CreateStream;
    return this.#call(signal, (init) => this.#api.routes.POST("/api/stream", { body, ...init }));
  }

  /**
   * Makes a token for a stream, active or finished; for several; or for all streams, now and later,
   * whose keys begin with a prefix. With `wait` streams that are not there yet are let in, too.
   */
  issueToken(
    scope: string | TokenScope,
    options: TokenOptions & CallOptions = {},
  ): Promise<Access> {
    const { signal, ...wishes } = options;
    const body = { ...(typeof scope === "string" ? { key: scope } : scope), ...wishes };
    return this.#call(signal, (init) =>
      this.#api.routes.POST("/api/stream/token", { body, ...init }),
    );
  }

  /**
   * The active streams, sorted by key; those whose keys match a glob (`*`, `?`, `[…]`), if one is
   * given.
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

  /** All stored events of a stream, also after its end. */
  streamEvents(key: string, { signal }: CallOptions = {}): Promise<StoredEvent[]> {
    return this.#call(signal, (init) =>
      this.#api.routes.GET("/api/stream/events", { params: { query: { key } }, ...init }),
    );
  }

  /** Ends a stream: nothing can follow, and its clients are closed when they have all of it. */
  endStream(key: string, { signal }: CallOptions = {}): Promise<Finished> {
    return this.#call(signal, (init) =>
      this.#api.routes.POST("/api/stream/end", { body: { key }, ...init }),
    );
  }

  /** Cancels a stream: the same, and its clients know that it is not complete. */
  cancelStream(key: string, { signal }: CallOptions = {}): Promise<Finished> {
    return this.#call(signal, (init) =>
      this.#api.routes.POST("/api/stream/cancel", { body: { key }, ...init }),
    );
  }

  /** Writes a batch of events, all or nothing. `publish` is for events that come one by one. */
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

  /**
   * The clients that are connected to the node that answers; those that follow the stream at this
   * key, or have this tag.
   */
  listClients({ signal, ...query }: ClientFilter & CallOptions = {}): Promise<ClientRow[]> {
    return this.#call(signal, (init) =>
      this.#api.routes.GET("/api/clients", { params: { query }, ...init }),
    );
  }

  /**
   * Disconnects a client of the node that answers, for good if it is one of these and connected
   * over WebSocket.
   */
  disconnectClient(id: string, { signal }: CallOptions = {}): Promise<Disconnected> {
    return this.#call(signal, (init) =>
      this.#api.routes.DELETE("/api/clients/{id}", { params: { path: { id } }, ...init }),
    );
  }

  /** What the broker is, and how full. */
  brokerInfo({ signal }: CallOptions = {}): Promise<BrokerInfo> {
    return this.#call(signal, (init) => this.#api.routes.GET("/api/info", init));
  }

  /** `OK` when the broker can do its work; else it throws the broker's 503. */
  ready({ signal }: CallOptions = {}): Promise<string> {
    return this.#call(signal, (init) =>
      this.#api.routes.GET("/api/ready", { parseAs: "text", ...init }),
    );
  }

  /**
   * A writer for an active stream. Its `finish`, `cancel` or `close` is to be called; `await using`
   * calls `finish`.
   */
  publish(key: string, options?: PublishOptions): Writer;
  /**
   * The same with `Writer.run`: finishes the stream when the function returns, and cancels it when
   * it throws, as an answer that broke off is not complete.
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
   * tokens that it makes as they are needed. For backends; browsers have the `sse_url` and a token.
   */
  subscribe(key: string, options: Pick<SubscribeOptions, "after" | Following> = {}): Subscription {
    return subscribe({
      ...options,
      url: this.#api.url("/api/client/sse", { key }),
      token: async () => (await this.issueToken(key, waiting(options))).token,
      fetch: this.#api.fetch,
    });
  }

  /**
   * Follows several streams as `subscribeMany` of `tinistreamer/subscribe` does. Its tokens are for
   * these streams, or for `prefix`, which lets streams be added whose keys begin with it.
   */
  subscribeMany(
    keys: string[],
    options: Pick<SubscribeManyOptions, "after" | Following> & { prefix?: string | undefined } = {},
  ): ManySubscription {
    const { prefix, ...rest } = options;
    const scope = prefix === undefined ? { keys } : { prefix };
    return subscribeMany({
      ...rest,
      url: this.#api.url("/api/client/sse", {}),
      keys,
      token: async () =>
        (await this.issueToken(scope, prefix === undefined ? waiting(rest) : {})).token,
      fetch: this.#api.fetch,
    });
  }

  #call<T>(
    signal: AbortSignal | undefined,
    route: (init: {
      signal?: AbortSignal;
    }) => Promise<{ data?: T; error?: unknown; response: Response }>,
  ): Promise<T> {
    return this.#api.answer(route(signal ? { signal } : {}), signal);
  }
}

/** Who waits for streams needs a token that does. */
function waiting({ wait }: { wait?: boolean | undefined }): TokenOptions {
  return wait ? { wait } : {};
}
