import type { Attempt, Received } from "./connection.js";
import type { Frame } from "./frame.js";
import { chunks, connectHttp } from "./http-connection.js";
import { type ServerSentEvent, SseParser } from "./sse-parser.js";

/** Connects over server-sent events. */
export function connectSse(attempt: Attempt): AsyncGenerator<Received, void, void> {
  return connectHttp(attempt, "text/event-stream", async function* (response, inTime) {
    const parser = new SseParser();
    for await (const chunk of chunks(response, inTime)) {
      yield { kind: "alive" };
      for (const parsed of parser.push(chunk)) {
        if ("retry" in parsed) yield { kind: "retry", milliseconds: parsed.retry };
        else if ("comment" in parsed) yield { kind: "heartbeat" };
        else yield { kind: "frame", frame: frameOf(parsed) };
      }
    }
  });
}

/**
 * On a connection to several streams the `id:` line is a cursor. Its first item names the event's
 * stream and the event's own id.
 */
function frameOf({ id, event, data }: ServerSentEvent): Frame {
  const [, key, own] = /^([^:,]*):([^,!]*)/.exec(id ?? "") ?? [];
  if (key === undefined) return { id, event, data };
  // For `missedevents` the first item is the position before it. It has no id of its own.
  const ownId = own === "" || event === "missedevents" ? undefined : own;
  return { key: decodeURIComponent(key), id: ownId, event, data, cursor: id };
}
