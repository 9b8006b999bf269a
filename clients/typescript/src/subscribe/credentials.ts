import { withTimeout } from "../timeout.js";
import type { FollowOptions, TokenAccess } from "./options.js";
import { type Endpoint, endpointOf } from "./transport.js";

/** A token in use. */
export interface Grant {
  readonly token: string;
  /** Whether no request has used it yet. Who uses it sets this to false. */
  isNew: boolean;
}

/** The URL and the token of a subscription. Its connections and its signals share them. */
export class Credentials {
  /** The URL and its transport. Undefined until an access says it. */
  endpoint: Endpoint | undefined;
  readonly #options: FollowOptions;
  #making: Promise<Grant> | undefined;
  #current: Grant | undefined;
  /** Whether the first token was refused. */
  #renewed = false;

  /** Throws a `TypeError` when the URL or the token is missing, or the URL is not a good one. */
  constructor(options: FollowOptions) {
    this.#options = options;
    const { url, token, access } = options;
    if (url || typeof access !== "function")
      this.endpoint = endpointOf(url || (access as TokenAccess)?.sse_url, options.WebSocket);
    if (!token && !access) {
      throw new TypeError(
        "The token is missing: set `token` to a token of the broker, or to a function that gets one",
      );
    }
  }

  /** The current grant. Makes one if it must; then the endpoint is known, too. */
  async get(signal: AbortSignal): Promise<Grant> {
    this.#current = await withTimeout<Grant>(
      Number.POSITIVE_INFINITY,
      signal,
      (resolve, reject) => {
        this.#making ??= this.#make().catch((error) => {
          this.#making = undefined;
          throw error;
        });
        this.#making.then(resolve, reject);
      },
    );
    return this.#current;
  }

  /** The broker refused the grant. Returns whether there may be another one. */
  renew(refused: Grant): boolean {
    // Another request may have renewed it meanwhile.
    if (this.#current !== refused) return true;
    const { token, access } = this.#options;
    const hasFunction = typeof (access ?? token) === "function";
    if (!hasFunction && !(access && token && !this.#renewed)) return false;
    this.#making = undefined;
    this.#renewed = true;
    return true;
  }

  async #make(): Promise<Grant> {
    const { token, access, WebSocket } = this.#options;
    const isFirst = token && !(access && this.#renewed);
    const found =
      isFirst && this.endpoint ? undefined : typeof access === "function" ? await access() : access;
    this.endpoint ??= endpointOf(found?.sse_url, WebSocket);
    const given = isFirst ? token : (found?.token ?? "");
    // A token that was given beside an access may be an old one.
    const isNew = !access || given !== token;
    return { token: typeof given === "function" ? await given() : given, isNew };
  }
}
