// A broker, a chat that uses it, and a page's transport that reaches both.

import { Fixture } from '../support/fixture.mjs';
import { CuttingProxy } from '../support/proxy.mjs';
import { question } from '../support/answers.mjs';
import { makeChat } from './chat.mjs';
import { page } from './packages.mjs';

export { until } from '../support/processes.mjs';

/** A broker behind a proxy, which is its public address. */
export async function startBroker(t, settings = {}) {
  const fixture = new Fixture('memory');
  t.after(() => fixture.close());
  const proxy = await fixture.listen(new CuttingProxy([]));
  const broker = await fixture.broker({ STREAMER_SERVER_ADDRESS: proxy.url, ...settings });
  proxy.upstreams.push(broker);
  return { broker, proxy };
}

/** The same with a chat whose handlers the transport calls. */
export async function startChat(t, options = {}, settings = {}) {
  const { broker, proxy } = await startBroker(t, settings);
  const chat = makeChat(broker, options);
  const requests = [];
  const call = async (input, init) => {
    const request = new Request(new URL(input, 'http://backend'), init);
    requests.push(request.clone());
    return chat.handlers[request.method](request);
  };
  const transport = new page.BrokerChatTransport({ fetch: call });
  return Object.assign(chat, { broker, proxy, transport, call, requests });
}

let messages = 0;

/** The message of a user that tells the model what to do. */
export const ask = (script) => ({
  id: `question-${(messages += 1)}`,
  role: 'user',
  parts: [{ type: 'text', text: question(script) }],
});

/** What `useChat` gives to a transport. */
export const sending = (script, options = {}) => ({
  chatId: 'c',
  trigger: 'submit-message',
  messageId: undefined,
  messages: Array.isArray(script) ? script : [ask(script)],
  abortSignal: undefined,
  ...options,
});

/** All chunks of a stream, and the error that ended it. `onChunk` gets each. */
export async function readAll(stream, onChunk = () => {}) {
  const chunks = [];
  try {
    for await (const chunk of stream) {
      chunks.push(chunk);
      onChunk(chunk, chunks.length);
    }
  } catch (error) {
    return { chunks, error, text: textIn(chunks) };
  }
  return { chunks, text: textIn(chunks) };
}

const textIn = (chunks) =>
  chunks.map(({ type, delta }) => (type === 'text-delta' ? delta : '')).join('');

/** A stream of these chunks, with a pause before each of them. It notes whether it was cancelled. */
export function streamOf(chunks, pause = async () => {}) {
  let at = 0;
  const stream = new ReadableStream(
    {
      async pull(controller) {
        await pause(at);
        if (at < chunks.length) controller.enqueue(chunks[at]);
        else controller.close();
        at += 1;
      },
      cancel() {
        stream.isCancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
  return stream;
}
