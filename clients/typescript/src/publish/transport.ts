import type { Api } from "../api.js";
import type { WebSocketConstructor } from "../websocket.js";
import type { Outbox } from "./outbox.js";

/** Whose events go where. */
export interface Destination {
  api: Api;
  key: string;
  /** The writer's name, by which the broker knows again what it has of it. */
  producer: string;
  WebSocket: WebSocketConstructor | undefined;
}

/** A way for events to the broker. */
export interface Transport {
  /**
   * Sends what is in the outbox, and what comes into it meanwhile, and acknowledges what the broker
   * confirms, until it is empty. Throws at the first failure, which it is when the broker says
   * nothing for `patience` milliseconds; called again, it goes on with the oldest event that is not
   * acknowledged.
   */
  drain(outbox: Outbox, patience: () => number, signal: AbortSignal): Promise<void>;
  /** Lets go of the connection. */
  close(): void;
}
