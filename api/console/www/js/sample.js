// The sample text of the answer that types itself.

/** The demo streams. Their page starts to type by itself. @type {Set<string>} */
export const demo = new Set();

export const SAMPLE = `A stream is a log with a name. Your backend appends to it, and anybody with a token follows: from the first event, or from the last one they have seen.

Every event has a number. It counts from 0 without a hole, so a client knows from two numbers alone whether something is missing between them. Try it: cut the line of one of the clients, wait until the other one is well ahead, and take it up again. It gets what it has missed, once and in order, and then goes on live as if nothing had happened.

That is all there is to resuming. A browser's EventSource does it by itself, with the header Last-Event-ID. It does not matter which node answers: they keep nothing, the store knows it all. You can restart a broker under this very page and see it come back.

When an answer is complete the backend ends the stream. Its clients get the last event and are told to go. Whoever comes late still finds all of it, until its time is over.
`;
