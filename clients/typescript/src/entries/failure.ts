/** The most bytes of the message of a stream that failed. */
const MAX_MESSAGE = 1024;

/** The message, cut to what the broker takes. */
export function failureMessage(message: string): string {
  const bytes = new TextEncoder().encode(message).subarray(0, MAX_MESSAGE);
  // `stream` leaves out a character that is cut.
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes, { stream: true });
}
