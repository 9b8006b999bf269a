// A server such as OpenAI's. The question says what it does.

import { once } from 'node:events';
import http from 'node:http';
import { until } from '../support/processes.mjs';

/** Characters that something between could change. Server-sent events have no CR. */
const WORDS = ['plain ', 'crab 🦀 ', '\n\n', 'sep\u2028', 'tab\t', '"quote" ', 'é ', '<b>&amp; '];

const wordOf = (n) => `${n} ${WORDS[n % WORDS.length]}`;

/** The text of the first words of each answer. */
export const textOf = (count) => Array.from({ length: count }, (_, n) => wordOf(n)).join('');

/**
 * What a question asks for: so many `words`, a pause after `hold` of them until `release()`, and
 * what follows them: nothing, `fail` (the connection breaks) or `hang`. `refuse` is no answer at
 * all.
 */
export const question = (script) => JSON.stringify(script);

export class Model {
  /** What became of each call: `running`, `finished`, `failed`, or `left` by its caller. */
  calls = [];
  #isReleased = false;
  #server = http.createServer((request, response) => this.#serve(request, response));

  async listen() {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    this.url = `http://127.0.0.1:${this.#server.address().port}/v1`;
  }

  async close() {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /** Lets the answers go on that are held, and those that will be. */
  release() {
    this.#isReleased = true;
  }

  /** Waits until the last call has this state. */
  until(state) {
    return until(
      () => this.calls.at(-1)?.state === state,
      () => `the model is ${state}, and not ${this.calls.at(-1)?.state}`,
    );
  }

  async #serve(request, response) {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += chunk;
    const { messages, stream, tools } = JSON.parse(body);
    const { authorization } = request.headers;
    const call = { path: request.url, authorization, messages, stream, state: 'running' };
    this.calls.push(call);
    response.on('close', () => {
      if (call.state === 'running') call.state = 'left';
    });
    const result = messages.find(({ role }) => role === 'tool');
    if (tools) return this.#say(response, call, result ? [text(result.content)] : toolCall);
    const script = JSON.parse(messages.at(-1).content);
    if (script.refuse) {
      call.state = 'failed';
      const error = { message: 'a secret of the model', code: 'bad' };
      response.writeHead(400, { 'Content-Type': 'application/json' });
      return response.end(JSON.stringify({ error }));
    }
    const deltas = Array.from({ length: script.words }, (_, n) => text(wordOf(n)));
    await this.#say(response, call, deltas, script);
  }

  async #say(response, call, deltas, { hold = Infinity, fail, hang } = {}) {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    send(response, [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }]);
    for (const [n, delta] of deltas.entries()) {
      if (n === hold) await until(() => this.#isReleased || call.state === 'left', 'a release');
      if (call.state === 'left') return;
      send(response, [{ index: 0, delta, finish_reason: null }]);
      // A real model takes its time, so that its words come one by one.
      await new Promise(setImmediate);
    }
    if (hang) return;
    call.state = fail ? 'failed' : 'finished';
    if (fail) return response.destroy();
    const finish_reason = deltas === toolCall ? 'tool_calls' : 'stop';
    send(response, [{ index: 0, delta: {}, finish_reason }]);
    send(response, [], { usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } });
    response.end('data: [DONE]\n\n');
  }
}

const text = (content) => ({ content });

const piece = (fields) => ({ tool_calls: [{ index: 0, ...fields }] });
const toolCall = [
  piece({ id: 'call-1', type: 'function', function: { name: 'weather', arguments: '' } }),
  piece({ function: { arguments: '{"city":' } }),
  piece({ function: { arguments: '"Paris"}' } }),
];

function send(response, choices, more = {}) {
  const chunk = {
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'gpt-5-mini',
    choices,
    ...more,
  };
  response.write(`data: ${JSON.stringify(chunk)}\n\n`);
}
