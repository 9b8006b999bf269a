import type { Attempt, Signal } from "./connection.js";
import type { RawEvent } from "./event.js";
import { connectHttp } from "./request.js";

/** What a poll is answered. */
interface PollAnswer {
  events: RawEvent[];
  cursor: string | null;
  status: "active" | "ended" | "cancelled";
}

/** One request of long polling: what its answer brings, and whether there is to be another. */
export function connectPoll(attempt: Attempt): AsyncGenerator<Signal, void, void> {
  const url = new URL(attempt.url);
  // Beside `wait=true`, which says another thing.
  url.searchParams.append("wait", String(attempt.pollSeconds));
  return connectHttp(
    { ...attempt, url },
    "application/json",
    async function* (response, wait) {
      const { events, cursor, status } = await wait(() => response.json() as Promise<PollAnswer>);
      yield { kind: "alive" };
      for (const event of events) yield { kind: "event", event };
      if (cursor !== null) yield { kind: "moved", cursor };
      if (events.length === 0) yield { kind: "heartbeat" };
      yield { kind: status === "active" ? "again" : "over" };
    },
    attempt.pollSeconds * 1_000,
  );
}
