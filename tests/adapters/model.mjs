// A model that does what the question says, and the text of its answer.

import { setTimeout as sleep } from 'node:timers/promises';

/** Characters that something between could change. */
const WORDS = [
  'plain ',
  'crab 🦀 ',
  'CR\r',
  'CRLF\r\n',
  '\n\n',
  'sep\u2028',
  'tab\t',
  '"quote" ',
  'é ',
];

/** The lengths of the deltas. Some of them split the halves of a crab. */
const SIZES = [5, 8, 3];

/** The answer of so many words. */
export const textOf = (count) =>
  Array.from({ length: count }, (_, n) => `${n} ${WORDS[n % WORDS.length]}`).join('');

/** What a question asks for: `words`, `delay` between deltas in ms, `fail` or `hang` after them. */
export const question = (script) => JSON.stringify(script);

/** What became of each call. */
export const calls = [];

/** The deltas of the answer. */
export async function* answer(prompt, signal) {
  const { words = 0, delay = 0, fail, hang } = JSON.parse(prompt);
  const call = { state: 'running' };
  calls.push(call);
  try {
    const text = textOf(words);
    for (let [at, n] = [0, 0]; at < text.length; n += 1) {
      if (delay > 0) await sleep(delay, undefined, { signal });
      signal?.throwIfAborted();
      const size = SIZES[n % SIZES.length];
      yield text.slice(at, at + size);
      at += size;
    }
    if (hang) await sleep(600_000, undefined, { signal, ref: false });
    if (fail) throw new Error('The model is overloaded');
    call.state = 'finished';
  } finally {
    if (call.state === 'running') call.state = signal?.aborted ? 'aborted' : 'broken off';
  }
}

/** The same as an adapter of TanStack AI, in place of `openaiText`. */
export function openaiText(model) {
  return {
    kind: 'text',
    name: 'mock',
    model,
    async *chatStream({ messages, request, runId = 'provider', threadId = 't' }) {
      const at = { timestamp: Date.now() };
      yield { type: 'RUN_STARTED', runId, threadId, ...at };
      yield { type: 'TEXT_MESSAGE_START', messageId: 'answer', role: 'assistant', ...at };
      for await (const delta of answer(promptOf(messages), request?.signal))
        yield { type: 'TEXT_MESSAGE_CONTENT', messageId: 'answer', delta, ...at };
      yield { type: 'TEXT_MESSAGE_END', messageId: 'answer', ...at };
      yield { type: 'RUN_FINISHED', runId, threadId, finishReason: 'stop', ...at };
    },
  };
}

function promptOf(messages) {
  const { content } = messages.findLast(({ role }) => role === 'user');
  return typeof content === 'string' ? content : content.map(({ content }) => content).join('');
}
