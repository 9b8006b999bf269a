// What callers of a client can ask for.

import type { IfTaken, Permission } from "./generated/openapi.js";

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
  /**
   * What the token permits: `read`, to follow the streams, and `signal`, to send signals to their
   * producers. `["read"]`.
   */
  permissions?: Permission[];
  /** Who gets the token, in at most 128 bytes. Signals that are sent with it carry this name. */
  subject?: string;
}

/** Options of a stream. */
export interface StreamOptions {
  /**
   * How many seconds the stream exists after its last write. The broker's setting, unless it is
   * set.
   */
  ttl?: number | null | undefined;
  /** About how many events it keeps. 100,000. Null takes the broker's setting. */
  max_events?: number | null | undefined;
  /**
   * What to do where an active stream has the key. `error` (the default) throws `existing-stream`.
   * `attach` returns a token for that stream. `replace` deletes it, without a last event.
   */
  if_exists?: IfTaken | undefined;
  /** The same where a finished stream has the key. `replace`. */
  if_finished?: IfTaken | undefined;
  /**
   * An id of this request, 1 to 64 characters. The same request with the same id within a minute
   * returns the stream that the first one created.
   */
  request_id?: string | undefined;
  /**
   * How many seconds the producer has to follow the signal `stop`, before the broker cancels the
   * stream. 10. 0 means for ever.
   */
  stop_grace?: number | undefined;
  /**
   * How many seconds the producer may be silent, before the broker abandons the stream. 0 means for
   * ever. The default is the broker's setting.
   */
  lease?: number | undefined;
  /** How many seconds the producer may write no event, in the same way. */
  stall?: number | undefined;
  /**
   * What the token permits: `read`, to follow the streams, and `signal`, to send signals to their
   * producers. `["read"]`.
   */
  permissions?: Permission[] | undefined;
  /** Who gets the token, in at most 128 bytes. Signals that are sent with it carry this name. */
  subject?: string | undefined;
}

/** Which stream is meant. */
export interface StreamReference {
  /** The generation that the stream must have, as `createStream` returned it. */
  generation?: string | undefined;
}

/** How a stream ends. */
export interface EndOptions extends StreamReference {
  /** The data of the last event: a string, or any other JSON value, which becomes JSON text. */
  data?: unknown;
}

/** Why a stream is cancelled. */
export interface CancelOptions extends StreamReference {
  /** The reason, in at most 1 KiB. The last event has it. */
  reason?: string | undefined;
  /** Who cancels it, in at most 128 bytes. The last event has it. */
  by?: string | undefined;
}

/** Why a stream fails. */
export interface FailOptions extends StreamReference {
  /** A word for programs: 1 to 64 of `a` to `z`, `0` to `9`, `-`. `error`. */
  code?: string | undefined;
  /** A text for people, in at most 1 KiB. */
  message?: string | undefined;
}

/** What the producer of a stream needs. */
export interface RenewOptions extends StreamReference {
  /** A new lease, in seconds. 0 ends the lease. Without it, the lease is as long as before. */
  lease?: number | undefined;
  /** A new stall, in seconds. 0 ends it. Without it, its deadline stays as it is. */
  stall?: number | undefined;
  /** Gives it the time to follow a stop once more, from now on; only the first time. */
  stop_ack?: boolean | undefined;
}

/** More about a signal. */
export interface SignalOptions extends StreamReference {
  /** Any JSON value of at most 16 KiB. */
  data?: unknown;
  /** An id of the signal, 1 to 64 characters, with which it can be sent again. */
  id?: string | undefined;
}

/** Options of every call. */
export interface CallOptions {
  /** Aborting it makes the call throw its reason. The broker may have executed the request. */
  signal?: AbortSignal | undefined;
}
