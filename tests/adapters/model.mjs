// A model that does what the question says.

import { deltasOf } from '../support/answers.mjs';

/** What became of each call. */
export const calls = [];

/** The deltas of the answer. */
export async function* answer(prompt, signal) {
  const script = JSON.parse(prompt);
  const call = { state: 'running' };
  calls.push(call);
  try {
    yield* deltasOf(script, signal);
    if (script.fail) throw new Error('The model is overloaded');
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
