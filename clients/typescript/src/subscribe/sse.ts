import type { Attempt, Received } from "./connection.js";
import { POSSIBLE_LAST_EVENTS } from "./event.js";
import type { Frame } from "./frame.js";
import { chunks, connectHttp } from "./http-connection.js";
import { type ServerSentEvent, SseParser } from "./sse-parser.js";

/** Connects over server-sent events. */
export function connectSse(attempt: Attempt): AsyncGenerator<Received, void, void> {
  return connectHttp(attempt, "text/event-stream", async function* (response, inTime) {
    const parser = new SseParser();
    let last: Frame | undefined;
    let count: number | undefined;
    try {
      for await (const chunk of chunks(response, inTime)) {
        yield { kind: "alive" };
        for (const parsed of parser.push(chunk)) {
          if ("retry" in parsed) yield { kind: "retry", milliseconds: parsed.retry };
          else if ("comment" in parsed) {
            // How many events the next frame stands for.
            const [, rollup] = /^rollup (\d+)$/.exec(parsed.comment) ?? [];
            if (rollup === undefined) yield { kind: "heartbeat" };
            else count = Number(rollup);
          } else {
            last = { ...frameOf(parsed), count };
            count = undefined;
            yield { kind: "frame", frame: last };
          }
        }
      }
    } catch (error) {
      // The stream may be over. The next request shows it, so that one need not wait.
      if (!last?.statusIfOver) throw error;
      yield { kind: "again" };
    }
  });
}

/**
 * On a connection to several streams the `id:` line is a cursor. Its first item names the event's
 * stream and the event's own id. A `!` follows the id of a stream's last event.
 */
function frameOf({ id, event, data }: ServerSentEvent): Frame {
  const possible = POSSIBLE_LAST_EVENTS.get(event ?? "");
  const [, key, own, isLast] = /^([^:,]*):([^,!]*)(!?)/.exec(id ?? "") ?? [];
  if (key === undefined) return { id, event, data, statusIfOver: possible };
  // For `missedevents` the first item is the position before it. It has no id of its own.
  const ownId = own === "" || event === "missedevents" ? undefined : own;
  const status = isLast ? { stream_status: possible } : { statusIfOver: possible };
  return { key: decodeURIComponent(key), id: ownId, event, data, cursor: id, ...status };
}
