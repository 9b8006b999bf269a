import { respondedWithin } from "../timeout.js";
import type { Outbox } from "./outbox.js";
import { EventRefused } from "./retry.js";
import type { Destination, Transport } from "./transport.js";

/**
 * The most characters of one request, unless a single event is longer. A slow connection must be
 * able to send a request before its timeout.
 */
const MAX_REQUEST = 1 << 20;

/**
 * Uploads events as NDJSON, one request at a time. A request contains all events that are ready.
 * Events that are written meanwhile wait for the next request.
 */
export class NdjsonTransport implements Transport {
  readonly #destination: Destination;

  constructor(destination: Destination) {
    this.#destination = destination;
  }

  async drain(outbox: Outbox, timeout: () => number, signal: AbortSignal): Promise<void> {
    while (outbox.pending > 0) {
      const lines = atMost(MAX_REQUEST, outbox.window(outbox.acknowledged));
      const summary = await respondedWithin(timeout(), signal, (signal) =>
        this.#upload(lines, outbox.acknowledged, signal),
      );
      const stored = summary.num_events + (summary.num_duplicates ?? 0);
      outbox.acknowledge(stored, summary.last_id ?? null);
      if (stored < lines.length)
        throw new EventRefused("invalid-event", summary.errors[0] ?? "Not all events were written");
    }
  }

  close(): void {}

  #upload(lines: string[], sequence: number, signal: AbortSignal) {
    const { api, key, producer, generation } = this.#destination;
    const named = generation === undefined ? {} : { generation };
    const upload = api.routes.POST("/api/event/add/json-stream", {
      params: { query: { key, producer, sequence, ...named } },
      headers: { "Content-Type": "application/x-ndjson" },
      body: `${lines.join("\n")}\n`,
      bodySerializer: (body) => body,
      signal,
    });
    return api.call(upload, signal);
  }
}

/** The first lines that have at most `length` characters together, and at least one line. */
function atMost(length: number, lines: string[]): string[] {
  let total = 0;
  const end = lines.findIndex((line, index) => {
    total += line.length;
    return index > 0 && total > length;
  });
  return end === -1 ? lines : lines.slice(0, end);
}
