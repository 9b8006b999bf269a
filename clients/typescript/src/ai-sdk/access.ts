import { linked } from "../timeout.js";
import { ChatError } from "./errors.js";

/** What the backend answers: where the answer is, and a token that opens it. */
export interface ChatAccess {
  sse_url: string;
  token: string;
  /** Distinguishes the stream of this answer from earlier and later ones of the chat. */
  generation?: string | undefined;
}

/** The access that this body of a response contains. Throws a `ChatError` `unexpected-answer`. */
export async function accessFrom(body: ReadableStream<unknown>): Promise<ChatAccess> {
  const text = await new Response(body as ReadableStream<Uint8Array>).text();
  try {
    const access = JSON.parse(text) as Partial<ChatAccess> | null;
    if (typeof access?.sse_url === "string" && typeof access.token === "string")
      return access as ChatAccess;
  } catch {
    // The error below says what is wrong. The text may be a page of something between.
  }
  throw new ChatError(
    "unexpected-answer",
    "The backend did not answer with { sse_url, token }: use the handlers of tinistreamer/ai-sdk/server",
  );
}

/**
 * Does the work with a signal, which is aborted after `ms` milliseconds with a `ChatError`
 * `timeout`, and with the given signal.
 */
export async function within<T>(
  ms: number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { controller, unlink } = linked(signal);
  const late = new ChatError("timeout", `The backend did not answer within ${ms} ms`);
  const timer = setTimeout(() => controller.abort(late), ms);
  try {
    return await work(controller.signal);
  } finally {
    clearTimeout(timer);
    unlink();
  }
}

/** Adds parameters to a URL, which may be relative. */
export function withQuery(url: string, parameters: Record<string, string | undefined>): string {
  const set = Object.entries(parameters).filter(([, value]) => value !== undefined);
  if (set.length === 0) return url;
  const [, path = "", fragment = ""] = /^([^#]*)(.*)$/s.exec(url) ?? [];
  const query = new URLSearchParams(set as [string, string][]);
  return `${path}${path.includes("?") ? "&" : "?"}${query}${fragment}`;
}
