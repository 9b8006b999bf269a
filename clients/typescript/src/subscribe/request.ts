import { ApiError } from "../errors.js";
import { apiError } from "../http.js";
import { linked, within } from "../timing.js";
import type { Attempt, Signal } from "./connection.js";

/** What an answer is read with: waits no longer than the attempt has patience for. */
export type Wait = <T>(work: () => Promise<T>) => Promise<T>;

/**
 * Sends the attempt's request, checks that the answer is of this type, and brings what `read` makes
 * of it. `heldBack` is for how many milliseconds the broker may hold the answer back by agreement.
 */
export async function* connectHttp(
  attempt: Attempt,
  type: string,
  read: (response: Response, wait: Wait) => AsyncGenerator<Signal, void, void>,
  heldBack = 0,
): AsyncGenerator<Signal, void, void> {
  const { controller, unlink } = linked(attempt.signal);
  const wait: Wait = (work) =>
    within(
      attempt.patience(heldBack),
      attempt.signal,
      (resolve, reject) => void work().then(resolve, reject),
    );
  try {
    const response = await wait(() =>
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
    if (!response.ok) throw await wait(() => apiError(response));
    yield { kind: "open" };
    if (response.status === 204) return yield { kind: "over" };
    const found = response.headers.get("content-type");
    if (!found?.startsWith(type)) {
      const message = `Not ${type}: ${found ?? "without a content type"}`;
      throw new ApiError({ status: response.status, code: "unexpected-answer", message });
    }
    yield* read(response, wait);
  } finally {
    controller.abort();
    unlink();
  }
}

/**
 * The chunks of an answer's body, read only as they are asked for, so that a slow reader holds the
 * broker back. It does not end.
 */
export async function* chunks(
  response: Response,
  wait: Wait,
): AsyncGenerator<Uint8Array, never, void> {
  const reader = response.body?.getReader();
  for (;;) {
    const { done, value } = reader ? await wait(() => reader.read()) : { done: true };
    if (done || !value) throw new Error("The connection was closed before the stream's end");
    yield value;
  }
}
