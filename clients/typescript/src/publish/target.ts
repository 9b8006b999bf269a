import type { Api } from "../api.js";
import type { Renewed, Signals } from "../generated/openapi.js";
import { respondedWithin } from "../timeout.js";

/** How a request finishes a stream, and the status that the stream then has. */
export const FINAL_STATUS = { end: "ended", cancel: "cancelled", fail: "failed" } as const;

/** What a request that finishes a stream says about it. */
export interface FinishDetails {
  reason?: string | undefined;
  by?: string | undefined;
  code?: string | undefined;
  message?: string | undefined;
}

/**
 * The stream that a writer writes to. Each request fails as `UnreachableError` when no response
 * comes within `ms` milliseconds, and with the signal's reason when that is aborted.
 */
export class Target {
  readonly #api: Api;
  readonly #stream: { key: string; generation?: string };

  constructor(api: Api, key: string, generation: string | undefined) {
    this.#api = api;
    this.#stream = generation === undefined ? { key } : { key, generation };
  }

  /** Begins or renews the lease, of so many seconds. 0 ends it. */
  renew(lease: number, ms: number, signal?: AbortSignal): Promise<Renewed> {
    const body = { ...this.#stream, lease };
    return this.#call(ms, signal, (signal) =>
      this.#api.routes.POST("/api/stream/renew", { body, signal }),
    );
  }

  /** The signals after this number. The broker waits so many seconds for one. */
  signals(after: number, wait: number, ms: number, signal?: AbortSignal): Promise<Signals> {
    const params = { query: { ...this.#stream, after, wait } };
    return this.#call(ms, signal, (signal) =>
      this.#api.routes.GET("/api/stream/signals", { params, signal }),
    );
  }

  /** Finishes the stream. */
  async finish(
    how: keyof typeof FINAL_STATUS,
    details: FinishDetails,
    ms: number,
    signal?: AbortSignal,
  ): Promise<void> {
    const body = { ...this.#stream, ...details } as { key: string };
    await this.#call(ms, signal, (signal) =>
      this.#api.routes.POST(`/api/stream/${how}`, { body, signal }),
    );
  }

  /** The status of the stream that has the key. */
  async status(ms: number, signal?: AbortSignal): Promise<string> {
    const params = { query: { key: this.#stream.key } };
    const { status } = await this.#call(ms, signal, (signal) =>
      this.#api.routes.GET("/api/stream/info", { params, signal }),
    );
    return status;
  }

  #call<T>(
    ms: number,
    signal: AbortSignal | undefined,
    route: (signal: AbortSignal) => Promise<{ data?: T; error?: unknown; response: Response }>,
  ): Promise<T> {
    return respondedWithin(ms, signal, (signal) => this.#api.call(route(signal), signal));
  }
}
