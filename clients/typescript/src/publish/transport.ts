import type { Api } from "../api.js";
import type { WebSocketConstructor } from "../websocket.js";
import type { Outbox } from "./outbox.js";

/** Which stream a writer writes to, and as which producer. */
export interface Destination {
  api: Api;
  key: string;
  /** The writer's name. By it the broker recognizes events that it has already stored. */
  producer: string;
  /** The generation that the stream must have. Any, unless it is set. */
  generation: string | undefined;
  WebSocket: WebSocketConstructor | undefined;
}

/** Sends events to the broker. */
export interface Transport {
  /**
   * Sends the events of the outbox, also those that come meanwhile, and acknowledges what the
   * broker has stored, until the outbox is empty. Throws at the first failure, and when the broker
   * does not respond within `timeout()` milliseconds. The next call continues with the oldest event
   * that is not acknowledged.
   */
  drain(outbox: Outbox, timeout: () => number, signal: AbortSignal): Promise<void>;
  /** Closes the connection. */
  close(): void;
}
