// A model that does what the question says, and the text of its answer.

import { setTimeout as sleep } from 'node:timers/promises';
import { MockLanguageModel } from './packages.mjs';

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

/** The lengths of the deltas. */
const SIZES = [5, 8, 3];

/** The answer of so many words. */
export const textOf = (count) =>
  Array.from({ length: count }, (_, n) => `${n} ${WORDS[n % WORDS.length]}`).join('');

/** What a question asks for: `words`, `delay` between them in ms, `fail` or `hang` after them. */
export const question = (script) => JSON.stringify(script);

/** The calls of the model: what became of each. */
export class Model {
  calls = [];
  model = new MockLanguageModel({ doStream: (options) => this.#answer(options) });

  #answer({ prompt, abortSignal }) {
    const { content } = prompt.findLast(({ role }) => role === 'user');
    const script = JSON.parse(content.map(({ text }) => text).join(''));
    const call = { state: 'running' };
    this.calls.push(call);
    abortSignal?.addEventListener('abort', () => {
      if (call.state === 'running') call.state = 'aborted';
    });
    if (script.refuse) throw new Error('a secret of the model');
    const parts = partsOf(script, abortSignal);
    const stream = new ReadableStream(
      {
        async pull(controller) {
          try {
            const { done, value } = await parts.next();
            if (!done) return controller.enqueue(value);
            call.state = 'finished';
            controller.close();
          } catch (error) {
            if (call.state === 'running') call.state = 'failed';
            controller.error(error);
          }
        },
      },
      { highWaterMark: 0 },
    );
    return Promise.resolve({ stream });
  }
}

async function* partsOf({ words = 0, delay = 0, fail, hang }, signal) {
  yield { type: 'stream-start', warnings: [] };
  yield { type: 'text-start', id: '0' };
  const text = textOf(words);
  // Some of these sizes split the halves of a crab.
  for (let [at, n] = [0, 0]; at < text.length; n += 1) {
    if (delay > 0) await sleep(delay, undefined, { signal });
    signal?.throwIfAborted();
    const size = SIZES[n % SIZES.length];
    yield { type: 'text-delta', id: '0', delta: text.slice(at, at + size) };
    at += size;
  }
  if (hang) await sleep(600_000, undefined, { signal, ref: false });
  if (fail) throw new Error('a secret of the model');
  yield { type: 'text-end', id: '0' };
  const none = { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0, text: 1, reasoning: 0 };
  yield {
    type: 'finish',
    finishReason: { unified: 'stop', raw: 'stop' },
    usage: { inputTokens: none, outputTokens: none },
  };
}
