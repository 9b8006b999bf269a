import createClient, { type Client as OpenApiClient } from "openapi-fetch";
import { UnreachableError } from "./errors.js";
import type { paths } from "./generated/openapi.js";
import { errorFrom } from "./http.js";
import { type Log, logTo, type OnLog } from "./log.js";
import { wellFormedJson } from "./publish/surrogates.js";

/** The broker's URL, and the API key of a backend. */
export interface ClientOptions {
  /** The broker's URL, without `/api`: `http://127.0.0.1:8000`. */
  url: string | URL;
  /** One of the broker's API keys. It goes only into the `X-API-KEY` header. */
  apiKey: string;
  /** Replaces the platform's `fetch`. */
  fetch?: typeof globalThis.fetch | undefined;
  /**
   * How long a call of the management may take, in milliseconds. 30,000. A call that takes longer
   * throws an `UnreachableError`. `Infinity` sets no limit.
   */
  timeoutMs?: number | undefined;
  /**
   * Called for each log entry of this client, its writers and its subscriptions: lost renewals,
   * reconnects and the like.
   */
  onLog?: OnLog | undefined;
}

/** Calls the broker's routes with the API key. */
export class Api {
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: typeof globalThis.fetch;
  /** How long a call of the management may take, in milliseconds. */
  readonly timeoutMs: number;
  readonly onLog: OnLog | undefined;
  readonly log: Log;
  /** The routes, typed by the OpenAPI document. */
  readonly routes: OpenApiClient<paths>;
  readonly #url: string;

  constructor({ url, apiKey, fetch, timeoutMs = 30_000, onLog }: ClientOptions) {
    this.#url = brokerUrl(url).href.replace(/\/+$/, "");
    if (!apiKey) {
      throw new TypeError(
        "The API key is missing: set `apiKey` to one of the broker's keys (its STREAMER_API_KEY)",
      );
    }
    this.headers = { "X-API-KEY": apiKey };
    this.timeoutMs = timeoutMs;
    this.onLog = onLog;
    this.log = logTo(onLog);
    this.fetch = fetch ?? ((...request) => globalThis.fetch(...request));
    this.routes = createClient<paths>({
      baseUrl: this.#url,
      headers: this.headers,
      bodySerializer: wellFormedJson,
      fetch: (request) => this.fetch(request),
    });
  }

  /** The URL of a route. */
  url(path: keyof paths, query: Record<string, string>): URL {
    return new URL(`${this.#url}${path}?${new URLSearchParams(query)}`);
  }

  /**
   * Awaits the body of a route's response. Throws an `ApiError` when the broker answers with an
   * error, the signal's reason when it is aborted, and an `UnreachableError` when no complete
   * response comes.
   */
  async call<T>(
    route: Promise<{ data?: T; error?: unknown; response: Response }>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const { data, error, response } = await route.catch((cause) => {
      throw signal?.aborted ? signal.reason : new UnreachableError(cause);
    });
    if (!response.ok) throw errorFrom(response, error);
    return data as T;
  }
}

/** Parses the broker's URL. Throws a `TypeError` that says what is wrong with it. */
function brokerUrl(url: string | URL): URL {
  if (!url) {
    throw new TypeError(
      'The broker\'s URL is missing: set `url`, for example to "http://127.0.0.1:8000"',
    );
  }
  let parsed: URL | undefined;
  try {
    parsed = new URL(url);
  } catch {
    // The platform's error names neither the option nor the valid values.
  }
  if (!parsed || !/^https?:$/.test(parsed.protocol)) {
    throw new TypeError(
      `The broker's URL begins with http:// or https://, unlike ${JSON.stringify(String(url))}`,
    );
  }
  return parsed;
}
