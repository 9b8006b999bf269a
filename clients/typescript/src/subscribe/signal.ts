import { Backoff } from "../backoff.js";
import { ApiError, UnreachableError } from "../errors.js";
import { apiError, leastDelay } from "../http.js";
import { randomName } from "../random.js";
import { sleep } from "../timeout.js";
import { withScheme } from "../websocket.js";
import type { Credentials } from "./credentials.js";

/** How long to try, and how long one attempt may take, in milliseconds. */
const RETRY_FOR = 30_000;
const MAX_ATTEMPT = 10_000;
/** Milliseconds before the second attempt. They double with each further one. */
const FIRST_DELAY = 500;
const MAX_DELAY = 5_000;

/**
 * Sends a signal with the token of a subscription, and returns its number. `key` is that of the
 * subscription's only stream, unless it is set. Tries again after a temporary failure. The broker
 * stores the signal once, because each attempt has the same id.
 */
export async function sendSignal(
  credentials: Credentials,
  fetch: typeof globalThis.fetch,
  key: string | undefined,
  name: string,
  data: unknown,
): Promise<number> {
  const giveUpAt = performance.now() + RETRY_FOR;
  const backoff = new Backoff(FIRST_DELAY, MAX_DELAY);
  const body = JSON.stringify({ id: randomName(), name, data });
  // Not the signal of the subscription: its reader may have left.
  const never = new AbortController().signal;
  for (;;) {
    const grant = await credentials.get(never);
    const { isNew } = grant;
    grant.isNew = false;
    try {
      const response = await fetch(urlOf(credentials, key).href, {
        method: "POST",
        headers: { Authorization: `Bearer ${grant.token}` },
        body,
        signal: AbortSignal.timeout(MAX_ATTEMPT),
      });
      if (!response.ok) throw await apiError(response);
      return ((await response.json()) as { seq: number }).seq;
    } catch (error) {
      const { status, code } = error as Partial<ApiError>;
      if (status === 401 && !isNew && credentials.renew(grant)) continue;
      const least = code === "too-many-signals" ? undefined : leastDelay(error);
      const delay = Math.max(least ?? 0, backoff.delay());
      if (least === undefined || performance.now() + delay >= giveUpAt)
        throw error instanceof ApiError ? error : new UnreachableError(error);
      await sleep(delay, never);
    }
  }
}

/** The number of a signal. Null when the stream is finished already. */
export function unlessFinished(sent: Promise<number>): Promise<number | null> {
  return sent.catch((error) => {
    const { code, streamStatus } = error as Partial<ApiError>;
    if (code === "no-active-stream" && streamStatus) return null;
    throw error;
  });
}

/** The URL beside the subscription's. */
function urlOf({ endpoint }: Credentials, key: string | undefined): URL {
  const url = withScheme(endpoint?.url as URL, "http");
  const name = key ?? url.searchParams.get("key") ?? "";
  return new URL(`signal?key=${encodeURIComponent(name)}`, url);
}
