"use client";

import { useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { type StoreOptions, type StreamSnapshot, StreamStore } from "./react/store.js";
import type { StreamEvent } from "./subscribe/event.js";

export type { StreamSnapshot, StreamStatus } from "./react/store.js";
export type { StreamEvent } from "./subscribe/event.js";
export type { MissedTotal } from "./subscribe/missed.js";
export type { TokenAccess } from "./subscribe/options.js";
export type { StreamReason } from "./subscribe/reason.js";

/** Which stream to follow, and how. */
export interface UseStreamOptions extends StoreOptions {
  /**
   * The `sse_url` or `ws_url`. The hook does nothing while the URL or the token is null or
   * undefined, and there is no `access`.
   */
  url?: string | URL | null | undefined;
  /** Continue after this id, instead of starting with the first event. */
  after?: string | null | undefined;
  /**
   * The name of the stream, where `access` is a function: another id starts again. An access
   * that is an object starts again with another URL by itself.
   */
  id?: string | number | null | undefined;
}

/**
 * An event whose type is known by its name. `Events` maps the names of events to what their
 * `json()` returns. The types are not checked at run time.
 */
export type EventOf<Events> = string extends keyof Events
  ? StreamEvent
  : {
      [Name in keyof Events & string]: Omit<StreamEvent, "event" | "json"> & {
        readonly event: Name;
        json(): Events[Name];
      };
    }[keyof Events & string];

/** A stream, and functions for it. They stay the same while the stream is the same. */
export interface UseStream<Events = Record<string, unknown>>
  extends Omit<StreamSnapshot, "events"> {
  /** All events so far. */
  readonly events: readonly EventOf<Events>[];
  /**
   * Asks the producer to stop, in all tabs. The token must permit `signal`. Resolves with the
   * number of the signal, or null when the stream is finished already, or not followed yet.
   */
  requestStop: () => Promise<number | null>;
  /** Sends another signal to the producer. Resolves with null when nothing is followed yet. */
  sendSignal: (name: string, data?: unknown) => Promise<number | null>;
  /** Closes the connection, and keeps the events so far. The producer goes on. */
  disconnect: () => void;
  /** Continues after the last event, after `disconnect` or an error. */
  resume: () => void;
  /** @deprecated The name is `disconnect` now. To end the answer, use `requestStop`. */
  stop: () => void;
}

/**
 * Follows a stream while the component is mounted. Events that come together are rendered together.
 *
 * Another `url`, `id`, `after` or `shareTabs` starts again without events. All other options may
 * change at any time, also with each render: the hook uses the latest value when it needs one. It
 * needs a token at the first connection, and when a token is no longer valid.
 */
export function useStream<Events = Record<string, unknown>>(
  options: UseStreamOptions,
): UseStream<Events> {
  const latest = useRef(options);
  useEffect(() => {
    latest.current = options;
  });
  const url = urlOf(options);
  const { id, after = null, shareTabs } = options;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another id is another stream
  const store = useMemo(
    () => new StreamStore(url, after, () => latest.current),
    [url, id, after, shareTabs],
  );
  useEffect(() => {
    store.start();
    return store.disconnect;
  }, [store]);
  const snapshot = useSyncExternalStore(store.subscribe, store.getSnapshot, store.getSnapshot);
  return useMemo(() => {
    const { start: resume, disconnect, requestStop, sendSignal } = store;
    const events = snapshot.events as unknown as readonly EventOf<Events>[];
    const functions = { requestStop, sendSignal, disconnect, resume, stop: disconnect };
    return { ...snapshot, events, ...functions };
  }, [snapshot, store]);
}

/** The URL: undefined if `access` will say it, null if there is nothing to follow yet. */
function urlOf({ url, token, access }: UseStreamOptions): string | undefined | null {
  if (access == null) return url == null || token == null ? null : String(url);
  if (url != null) return String(url);
  return typeof access === "function" ? undefined : access.sse_url;
}
