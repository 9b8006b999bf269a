import type { Outbox } from "./outbox.js";
import { answeredWithin, Refusal } from "./retry.js";
import type { Destination, Transport } from "./transport.js";

/**
 * Characters of one request at the most, unless a single event is longer, so that a slow line gets
 * it through in time.
 */
const MAX_REQUEST = 1 << 20;

/**
 * One request at a time, with all that is ready; what is written meanwhile gathers for the next.
 */
export class NdjsonTransport implements Transport {
  readonly #destination: Destination;

  constructor(destination: Destination) {
    this.#destination = destination;
  }

  async drain(outbox: Outbox, patience: () => number, signal: AbortSignal): Promise<void> {
    while (outbox.pending > 0) {
      const lines = atMost(MAX_REQUEST, outbox.window(outbox.acknowledged));
      const summary = await answeredWithin(patience(), signal, (signal) =>
        this.#upload(lines, outbox.acknowledged, signal),
      );
      const stored = summary.num_events + (summary.num_duplicates ?? 0);
      outbox.acknowledge(stored, summary.last_id ?? null);
      if (stored < lines.length)
        throw new Refusal("invalid-event", summary.errors[0] ?? "Not all events were written");
    }
  }

  close(): void {}

  #upload(lines: string[], sequence: number, signal: AbortSignal) {
    const { api, key, producer } = this.#destination;
    const upload = api.routes.POST("/api/event/add/json-stream", {
      params: { query: { key, producer, sequence } },
      headers: { "Content-Type": "application/x-ndjson" },
      body: `${lines.join("\n")}\n`,
      bodySerializer: (body) => body,
      signal,
    });
    return api.answer(upload, signal);
  }
}

/** The first lines, as many as have no more than `length` characters, and at least one. */
function atMost(length: number, lines: string[]): string[] {
  let total = 0;
  const end = lines.findIndex((line, index) => {
    total += line.length;
    return index > 0 && total > length;
  });
  return end === -1 ? lines : lines.slice(0, end);
}
