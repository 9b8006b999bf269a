/** Why a stream was finished, as its last event says. */
export interface StreamReason {
  /** A word for programs, of a stream that failed. */
  code?: string;
  /** A text for people, of a stream that failed. */
  message?: string;
  /** Why the stream was cancelled, or which promise the producer broke: `lease` or `stall`. */
  reason?: string;
  /** Who cancelled the stream. */
  by?: string;
}

/** The content of a last event. Null when it has none, or is not JSON. */
export function reasonOf(data: string | undefined): StreamReason | null {
  try {
    const reason = JSON.parse(data ?? "null") as StreamReason | null;
    return typeof reason === "object" && !Array.isArray(reason) ? reason : null;
  } catch {
    // Something between has changed it. The status says enough without it.
    return null;
  }
}
