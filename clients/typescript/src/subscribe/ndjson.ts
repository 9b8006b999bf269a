import type { Attempt, Received } from "./connection.js";
import type { Frame } from "./frame.js";
import { chunks, connectHttp } from "./http-connection.js";

/** Connects over NDJSON. Each line is a frame; an empty line is a heartbeat. */
export function connectNdjson(attempt: Attempt): AsyncGenerator<Received, void, void> {
  return connectHttp(attempt, "application/x-ndjson", async function* (response, inTime) {
    const decoder = new TextDecoder();
    let begun: string[] = [];
    for await (const chunk of chunks(response, inTime)) {
      yield { kind: "alive" };
      const [first = "", ...more] = decoder.decode(chunk, { stream: true }).split("\n");
      begun.push(first);
      for (const next of more) {
        const line = begun.join("");
        begun = [next];
        yield line === ""
          ? { kind: "heartbeat" }
          : { kind: "frame", frame: JSON.parse(line) as Frame };
      }
    }
  });
}
