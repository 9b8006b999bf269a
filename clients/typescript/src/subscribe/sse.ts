import { ApiError } from "../errors.js";
import { apiError } from "../http.js";
import { linked, within } from "../timing.js";
import type { Attempt, Signal } from "./connection.js";
import { SseParser } from "./sse-parser.js";

/** A connection over server-sent events. Reads only when it is asked for more, so that a slow reader holds the broker back. */
export async function* connectSse(attempt: Attempt): AsyncGenerator<Signal, void, void> {
  const { controller, unlink } = linked(attempt.signal);
  try {
    const response = await wait(attempt, () =>
      attempt.fetch(attempt.url.href, {
        headers: {
          Accept: "text/event-stream",
          Authorization: `Bearer ${attempt.token}`,
          ...(attempt.after === undefined ? {} : { "Last-Event-ID": attempt.after }),
        },
        cache: "no-store",
        signal: controller.signal,
      }),
    );
    if (response.status === 204) return yield { kind: "over" };
    if (!response.ok) throw await wait(attempt, () => apiError(response));
    yield* read(response, attempt);
  } finally {
    controller.abort();
    unlink();
  }
}

async function* read(response: Response, attempt: Attempt): AsyncGenerator<Signal, void, void> {
  if (!response.headers.get("content-type")?.startsWith("text/event-stream") || !response.body) {
    const message = `Not an event stream: ${response.headers.get("content-type") ?? "without a content type"}`;
    throw new ApiError({ status: response.status, code: "unexpected-answer", message });
  }
  const reader = response.body.getReader();
  const parser = new SseParser();
  for (;;) {
    const { done, value } = await wait(attempt, () => reader.read());
    if (done) throw new Error("The connection was closed before the stream's end");
    yield { kind: "alive" };
    for (const found of parser.push(value)) {
      yield "retry" in found ? { kind: "retry", milliseconds: found.retry } : { kind: "event", event: found };
    }
  }
}

/** Waits no longer than the attempt has patience for. */
function wait<T>(attempt: Attempt, work: () => Promise<T>): Promise<T> {
  return within(attempt.patience(), attempt.signal, (resolve, reject) => void work().then(resolve, reject));
}
