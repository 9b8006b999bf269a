/**
 * Calls `suspend` before the browser freezes the page, and `resume` when the page goes on. A page
 * that is frozen could keep the leadership, and messages to it would pile up. Does nothing outside
 * of a page. Returns what ends it.
 */
export function onFreeze(suspend: () => void, resume: () => void): () => void {
  const page = typeof document === "undefined" ? undefined : document;
  const window = page?.defaultView;
  if (!page || !window) return () => {};
  const targets: [EventTarget, string, () => void][] = [
    [page, "freeze", suspend],
    [page, "resume", resume],
    // Into the back/forward cache and out of it, also where browsers have no `freeze`.
    [window, "pagehide", suspend],
    [window, "pageshow", resume],
  ];
  for (const [target, name, listener] of targets) target.addEventListener(name, listener);
  return () => {
    for (const [target, name, listener] of targets) target.removeEventListener(name, listener);
  };
}
