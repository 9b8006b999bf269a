import { ApiError } from "../errors.js";
import { apiError } from "../http.js";
import { linked, withTimeout } from "../timeout.js";
import type { Attempt, Received } from "./connection.js";

/** Awaits a part of a response, at most as long as the attempt's timeout. */
export type InTime = <T>(work: () => Promise<T>) => Promise<T>;

/**
 * Sends the attempt's request, checks the content type of the response, and yields what `read`
 * makes of the response. `heldBack` is how many milliseconds the broker may hold the response back.
 */
export async function* connectHttp(
  attempt: Attempt,
  type: string,
  read: (response: Response, inTime: InTime) => AsyncGenerator<Received, void, void>,
  heldBack = 0,
): AsyncGenerator<Received, void, void> {
  const { controller, unlink } = linked(attempt.signal);
  const inTime: InTime = (work) =>
    withTimeout(
      attempt.timeout(heldBack),
      attempt.signal,
      (resolve, reject) => void work().then(resolve, reject),
    );
  try {
    const response = await inTime(() =>
      attempt.fetch(attempt.url.href, {
        headers: {
          Accept: type,
          Authorization: `Bearer ${attempt.token}`,
          ...(attempt.after === undefined ? {} : { "Last-Event-ID": attempt.after }),
        },
        cache: "no-store",
        signal: controller.signal,
      }),
    );
    if (!response.ok) throw await inTime(() => apiError(response));
    yield { kind: "open" };
    if (response.status === 204) return yield { kind: "over" };
    const found = response.headers.get("content-type");
    if (!found?.startsWith(type)) {
      const message = `Not ${type}: ${found ?? "without a content type"}`;
      throw new ApiError({ status: response.status, code: "unexpected-answer", message });
    }
    yield* read(response, inTime);
  } finally {
    controller.abort();
    unlink();
  }
}

/**
 * The chunks of a response's body. They are read only when the caller asks, so that a slow reader
 * slows the broker down. It never returns: the end of the body is an error.
 */
export async function* chunks(
  response: Response,
  inTime: InTime,
): AsyncGenerator<Uint8Array, never, void> {
  const reader = response.body?.getReader();
  for (;;) {
    const { done, value } = reader ? await inTime(() => reader.read()) : { done: true };
    if (done || !value) throw new Error("The connection was closed before the stream's end");
    yield value;
  }
}
