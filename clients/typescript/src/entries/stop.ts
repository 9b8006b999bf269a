import type { Client } from "../client.js";
import { ApiError } from "../errors.js";

/**
 * Asks the producer of a stream to stop. It is a success when the stream is finished, or does not
 * exist. Throws another `ApiError`, or an `UnreachableError`.
 */
export async function requestStop(client: Client, key: string): Promise<void> {
  try {
    await client.sendSignal(key, "stop");
  } catch (error) {
    if (!(error instanceof ApiError && error.code === "no-active-stream")) throw error;
  }
}
