// The sample text of the answer that types itself.

/** The demo streams. Their page starts to type by itself. @type {Set<string>} */
export const demo = new Set();

export const SAMPLE = `A stream is a log with a name. Your backend appends to it, and anybody with a token follows: from the first event, or from the last one they have seen.

Every event has a number. It counts from 0 without a hole, so two numbers show whether an event is missing between them. Try it: cut the connection of one of the clients, wait until the other one is well ahead, and reconnect it. It gets what it has missed, once and in order, and then continues live.

EventSource in a browser resumes by itself, with the header Last-Event-ID. Any node can answer, because all streams are in the store. You can restart the broker under this page, and watch it come back.

When an answer is complete, the backend ends the stream. Its clients get the last event, and the broker closes their connections. A client that joins later gets all of it, until the stream expires.
`;
