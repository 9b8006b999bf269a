// A model that does what the question says.

import { deltasOf } from '../support/answers.mjs';
import { MockLanguageModel } from './packages.mjs';

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

async function* partsOf(script, signal) {
  yield { type: 'stream-start', warnings: [] };
  yield { type: 'text-start', id: '0' };
  for await (const delta of deltasOf(script, signal)) yield { type: 'text-delta', id: '0', delta };
  if (script.fail) throw new Error('a secret of the model');
  yield { type: 'text-end', id: '0' };
  const none = { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0, text: 1, reasoning: 0 };
  yield {
    type: 'finish',
    finishReason: { unified: 'stop', raw: 'stop' },
    usage: { inputTokens: none, outputTokens: none },
  };
}
