import createClient, { type Client as OpenApiClient } from "openapi-fetch";
import { UnreachableError } from "./errors.js";
import type { paths } from "./generated/openapi.js";
import { errorFrom } from "./http.js";

/** Where the broker is, and what opens it to a backend. */
export interface ClientOptions {
  /** The broker's URL, without `/api`: `http://127.0.0.1:8000`. */
  url: string | URL;
  /** One of the broker's API keys. It goes only into the `X-API-KEY` header. */
  apiKey: string;
  /** Instead of the platform's `fetch`. */
  fetch?: typeof globalThis.fetch | undefined;
}

/** The broker's routes, and what all calls of them have in common. */
export class Api {
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: typeof globalThis.fetch;
  /** The routes, with their types from the OpenAPI document. */
  readonly routes: OpenApiClient<paths>;
  readonly #url: string;

  constructor({ url, apiKey, fetch }: ClientOptions) {
    this.#url = new URL(url).href.replace(/\/+$/, "");
    this.headers = { "X-API-KEY": apiKey };
    this.fetch = fetch ?? ((...request) => globalThis.fetch(...request));
    this.routes = createClient<paths>({
      baseUrl: this.#url,
      headers: this.headers,
      fetch: (request) => this.fetch(request),
    });
  }

  /** The URL of a route. */
  url(path: keyof paths, query: Record<string, string>): URL {
    return new URL(`${this.#url}${path}?${new URLSearchParams(query)}`);
  }

  /**
   * What a route answers. Throws an `ApiError` for an error of the broker, the signal's reason when it is aborted, and an
   * `UnreachableError` when there is no whole answer.
   */
  async answer<T>(
    call: Promise<{ data?: T; error?: unknown; response: Response }>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const { data, error, response } = await call.catch((cause) => {
      throw signal?.aborted ? signal.reason : new UnreachableError(cause);
    });
    if (!response.ok) throw errorFrom(response, error);
    return data as T;
  }
}
