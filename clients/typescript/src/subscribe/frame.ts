import type { FinalStatus } from "./event.js";

/** A frame as a connection delivers it. A frame without `event` is only a new position. */
export interface Frame {
  /** The key of the stream. Absent on a connection to one stream. */
  key?: string | undefined;
  id?: string | undefined;
  event?: string | undefined;
  data?: string | undefined;
  /** How many stored events it stands for, if they are several. */
  count?: number | undefined;
  /** The status of the stream, with its last event. Older brokers do not send it. */
  stream_status?: FinalStatus | undefined;
  /** The status that the stream has if nothing follows this event. The next request shows it. */
  statusIfOver?: FinalStatus | undefined;
  /** The position in all streams, where the frame contains it. */
  cursor?: string | undefined;
}

/** The broker's reply to a WebSocket's request to add or drop a stream. */
export interface Reply {
  op: "subscribed" | "unsubscribed" | "error";
  key: string;
  /** The position in the stream. Null where there is none. */
  after?: string | null;
  /** The broker's error code, when `op` is `error`. */
  code?: string;
  message?: string;
}
