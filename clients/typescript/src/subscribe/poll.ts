import type { Attempt, Received } from "./connection.js";
import type { FinalStatus } from "./event.js";
import type { Frame } from "./frame.js";
import { connectHttp } from "./http-connection.js";

/** The body of a response to a poll. */
interface PollResponse {
  events: Frame[];
  cursor: string | null;
  status: "active" | FinalStatus;
}

/** Makes one request of long polling. Yields its frames, and whether another request follows. */
export function connectPoll(attempt: Attempt): AsyncGenerator<Received, void, void> {
  const url = new URL(attempt.url);
  // Appended, because `wait=true` may be there, too. That one waits for streams.
  url.searchParams.append("wait", String(attempt.pollSeconds));
  return connectHttp(
    { ...attempt, url },
    "application/json",
    async function* (response, inTime) {
      const { events, cursor, status } = await inTime(
        () => response.json() as Promise<PollResponse>,
      );
      yield { kind: "alive" };
      for (const frame of events) yield { kind: "frame", frame };
      if (cursor !== null) yield { kind: "moved", cursor };
      if (events.length === 0) yield { kind: "heartbeat" };
      yield { kind: status === "active" ? "again" : "over" };
    },
    attempt.pollSeconds * 1_000,
  );
}
