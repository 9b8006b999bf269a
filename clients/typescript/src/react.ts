"use client";

import { useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { type StoreOptions, type StreamSnapshot, StreamStore } from "./react/store.js";

export type { StreamSnapshot, StreamStatus } from "./react/store.js";
export type { StreamEvent } from "./subscribe/event.js";
export type { MissedTotal } from "./subscribe/missed.js";

/** What to follow, and how. */
export interface UseStreamOptions extends StoreOptions {
  /**
   * The `sse_url` or `ws_url`. As long as it or the token is null or undefined, nothing is done.
   */
  url: string | URL | null | undefined;
  /** Start after this id, instead of with the first event. */
  after?: string | null | undefined;
}

/** A stream, and what can be done about it. */
export interface UseStream extends StreamSnapshot {
  /** Closes the connection, and keeps what came. */
  stop: () => void;
  /** Goes on after the last event that came: after `stop`, or after an error. */
  resume: () => void;
}

/**
 * Follows a stream while the component is mounted. Renders as events come, together those that come
 * together.
 *
 * Another `url` or `after` starts anew, with nothing. Everything else may change at any time, also
 * from render to render: the latest is used when it is needed, a token at the first connection and
 * when one is no longer good.
 */
export function useStream(options: UseStreamOptions): UseStream {
  const latest = useRef(options);
  useEffect(() => {
    latest.current = options;
  });
  const url = options.url == null || options.token == null ? null : String(options.url);
  const after = options.after ?? null;
  const store = useMemo(() => new StreamStore(url, after, () => latest.current), [url, after]);
  useEffect(() => {
    store.start();
    return store.stop;
  }, [store]);
  const snapshot = useSyncExternalStore(store.subscribe, store.getSnapshot, store.getSnapshot);
  return useMemo(() => ({ ...snapshot, stop: store.stop, resume: store.start }), [snapshot, store]);
}
