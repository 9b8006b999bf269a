import type { Attempt, Signal } from "./connection.js";
import type { RawEvent } from "./event.js";
import { chunks, connectHttp } from "./request.js";

/** A connection over NDJSON: an object a line; an empty line is a heartbeat. */
export function connectNdjson(attempt: Attempt): AsyncGenerator<Signal, void, void> {
  return connectHttp(attempt, "application/x-ndjson", async function* (response, wait) {
    const decoder = new TextDecoder();
    let begun: string[] = [];
    for await (const chunk of chunks(response, wait)) {
      yield { kind: "alive" };
      const [first = "", ...more] = decoder.decode(chunk, { stream: true }).split("\n");
      begun.push(first);
      for (const next of more) {
        const line = begun.join("");
        begun = [next];
        yield line === ""
          ? { kind: "heartbeat" }
          : { kind: "event", event: JSON.parse(line) as RawEvent };
      }
    }
  });
}
