// The part of the broker's HTTP interface that the console uses. /api/docs/ describes all of it.

import { apiKey } from "./session.js";

/** The name of the console's own subscribers in the list of clients. */
export const CLIENT_NAME = "Console";
/** Longer than the broker itself waits for its store. */
const TIMEOUT_MS = 10_000;

/**
 * @typedef {{key: string, length: number, ttl: number, status: Status}} StreamRow
 * @typedef {"active" | "ended" | "cancelled" | "failed" | "abandoned"} Status
 * @typedef {{reason?: string, by?: string, code?: string, message?: string}} Reason
 * @typedef {StreamRow & {generation: string, reason: Reason | null, first_id: string,
 *   last_id: string, created_at: string, stop_requested_at: string | null,
 *   lease_expires_at: string | null, stall_expires_at: string | null, clients: number,
 *   clients_total: number | null}} StreamInfo
 * @typedef {{seq: number, name: string, data?: unknown, by: string | null, time: string}} Signal
 * @typedef {{id: string, name?: string, tags: string[], keys: string[], transport: string,
 *   since: string, address?: string, events: number, bytes: number, lag: number | null,
 *   filter?: string}} ClientRow
 * @typedef {{sse_url: string, ws_url: string, token: string, expires_at: string}} Access
 * @typedef {{event: string, data?: unknown}} NewEvent
 * @typedef {{streaming_in_use: number, streaming_max: number, streaming: number,
 *   static: number}} Connections
 * @typedef {{uptime: number, events_in: number, events_out: number, bytes_in: number,
 *   bytes_out: number, clients: {sse: number, ws: number, poll: number, ndjson: number}}} Activity
 * @typedef {{url: string, version: string, store: string, delivery: string, redis: Connections,
 *   activity: Activity}} BrokerInfo
 */

/** A response that is not a success. Without any response the status is 0. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} code The broker's error code, for decisions.
   * @param {string} message For people.
   * @param {number} [retryAfter] Seconds.
   */
  constructor(status, code, message, retryAfter) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** @param {Response} response */
  static async of(response) {
    const body = await response.json().catch(() => null);
    const after = Number(response.headers.get("retry-after"));
    const { code, message } = body ?? {
      code: "no-broker",
      message: `Something answers ${response.status}, but not as a broker does`,
    };
    return new ApiError(
      response.status,
      String(code),
      String(message),
      after > 0 ? after : undefined,
    );
  }
}

/**
 * An address of the broker that served this page, also below a path of a proxy.
 * @param {string} path
 * @param {Record<string, string | undefined>} [query]
 */
export function address(path, query = {}) {
  const url = new URL(`api/${path}`, document.baseURI);
  url.hash = "";
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) url.searchParams.set(name, value);
  }
  return url;
}

/**
 * @param {URL} url
 * @param {RequestInit} [init]
 * @returns {Promise<Response>} A success.
 */
async function ask(url, init = {}) {
  const headers = new Headers(init.headers);
  if (!headers.has("x-api-key")) headers.set("x-api-key", apiKey.get() ?? "");
  /** @type {Response} */
  let response;
  try {
    response = await fetch(url, {
      ...init,
      headers,
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw new ApiError(0, "unreachable", "The broker can't be reached");
  }
  if (!response.ok) throw await ApiError.of(response);
  return response;
}

/**
 * @param {URL} url
 * @param {RequestInit} [init]
 */
const get = async (url, init) => (await ask(url, init)).json();

/**
 * @param {URL} url
 * @param {unknown} body
 */
const post = async (url, body) =>
  (await ask(url, { method: "POST", body: JSON.stringify(body) })).json();

/**
 * @param {string} [key] An API key to test, instead of the stored one.
 * @returns {Promise<BrokerInfo>}
 */
export const brokerInfo = (key) =>
  get(address("info"), key === undefined ? {} : { headers: { "x-api-key": key } });

/**
 * Resolves when the broker is ready.
 * @returns {Promise<string[]>} Warnings for an operator.
 */
export async function ready() {
  const text = await (await ask(address("ready"))).text();
  return text
    .split("\n")
    .flatMap((line) => (line.startsWith("Warning: ") ? [line.slice("Warning: ".length)] : []));
}

/** @returns {Promise<StreamRow[]>} */
export const listStreams = (/** @type {string} */ pattern) =>
  get(address("stream", { pattern: pattern || undefined }));

/** @returns {Promise<StreamInfo>} */
export const streamInfo = (/** @type {string} */ key) => get(address("stream/info", { key }));

/**
 * @param {{key: string, ttl?: number, max_events?: number}} options
 * @returns {Promise<Access>}
 */
export const createStream = (options) => post(address("stream"), options);

/**
 * @param {{key: string} | {keys: string[]} | {prefix: string}} options
 * @returns {Promise<Access>}
 */
export const issueToken = (options) => post(address("stream/token"), options);

/**
 * The subscribers of the node that answers.
 * @param {{key?: string, tag?: string}} options
 * @returns {Promise<ClientRow[]>}
 */
export const listClients = ({ key, tag }) =>
  get(address("clients", { key: key || undefined, tag: tag || undefined }));

/** @param {string} id */
export const disconnectClient = (id) =>
  ask(address(`clients/${encodeURIComponent(id)}`), { method: "DELETE" });

/**
 * @param {string} key
 * @param {"end" | "cancel" | "fail"} how
 */
export const finishStream = (key, how) => post(address(`stream/${how}`), { key });

/**
 * Sends a signal to the producer.
 * @param {string} key
 * @param {string} name
 */
export const sendSignal = (key, name) => post(address("client/signal", { key }), { name });

/**
 * The signals after the one with this number.
 * @param {string} key
 * @param {number} after
 * @returns {Promise<{generation: string, signals: Signal[], stream_status: Status}>}
 */
export const readSignals = (key, after) =>
  get(address("stream/signals", { key, after: String(after) }));

/**
 * Writes all events or none.
 * @param {string} key
 * @param {string[]} events Each as JSON text, which is sent unchanged, because numbers may be
 * longer than JavaScript's.
 * @returns {Promise<{ids: string[], num_events: number}>}
 */
export async function publish(key, events) {
  const body = `{"key": ${JSON.stringify(key)}, "events": [${events.join(", ")}]}`;
  return (await ask(address("event/add"), { method: "POST", body })).json();
}

/**
 * Uploads NDJSON. With the producer's sequence number, lines that are sent again are stored once.
 * @param {string} key
 * @param {NewEvent[]} events
 * @param {{producer: string, sequence: number}} producerSequence
 */
export async function upload(key, events, { producer, sequence }) {
  const url = address("event/add/json-stream", { key, producer, sequence: String(sequence) });
  const body = events.map((event) => `${JSON.stringify(event)}\n`).join("");
  return (await ask(url, { method: "POST", body })).json();
}
