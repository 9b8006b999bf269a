import type { Attempt, Signal } from "./connection.js";
import type { RawEvent } from "./event.js";
import { chunks, connectHttp } from "./request.js";
import { type ServerSentEvent, SseParser } from "./sse-parser.js";

/** A connection over server-sent events. */
export function connectSse(attempt: Attempt): AsyncGenerator<Signal, void, void> {
  return connectHttp(attempt, "text/event-stream", async function* (response, wait) {
    const parser = new SseParser();
    for await (const chunk of chunks(response, wait)) {
      yield { kind: "alive" };
      for (const found of parser.push(chunk)) {
        if ("retry" in found) yield { kind: "retry", milliseconds: found.retry };
        else if ("comment" in found) yield { kind: "heartbeat" };
        else yield { kind: "event", event: rawEvent(found) };
      }
    }
  });
}

/**
 * On a connection to several streams the id is a cursor, whose first item names the event's stream
 * and its own id.
 */
function rawEvent({ id, event, data }: ServerSentEvent): RawEvent {
  const [, key, own] = /^([^:,]*):([^,!]*)/.exec(id ?? "") ?? [];
  if (key === undefined) return { id, event, data };
  // `missedevents` has the position before it there, which is none of its own.
  const ownId = own === "" || event === "missedevents" ? undefined : own;
  return { key: decodeURIComponent(key), id: ownId, event, data, cursor: id };
}
