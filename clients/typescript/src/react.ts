"use client";

import { useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { type StoreOptions, type StreamSnapshot, StreamStore } from "./react/store.js";

export type { StreamSnapshot, StreamStatus } from "./react/store.js";
export type { StreamEvent } from "./subscribe/event.js";
export type { MissedTotal } from "./subscribe/missed.js";

/** Which stream to follow, and how. */
export interface UseStreamOptions extends StoreOptions {
  /**
   * The `sse_url` or `ws_url`. The hook does nothing while the URL or the token is null or
   * undefined.
   */
  url: string | URL | null | undefined;
  /** Continue after this id, instead of starting with the first event. */
  after?: string | null | undefined;
}

/** A stream, and functions to stop and resume it. */
export interface UseStream extends StreamSnapshot {
  /** Closes the connection, and keeps the events so far. */
  stop: () => void;
  /** Continues after the last event, after `stop` or an error. */
  resume: () => void;
}

/**
 * Follows a stream while the component is mounted. Events that come together are rendered together.
 *
 * Another `url` or `after` starts again without events. All other options may change at any time,
 * also with each render: the hook uses the latest value when it needs one. It needs a token at the
 * first connection, and when a token is no longer valid.
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
