// A stand-in for the server of a model.

import { once } from 'node:events';
import http from 'node:http';
import { until } from '../harness.mjs';

/** The tokens of an endless answer. Some have characters of several bytes, some end paragraphs. */
export const wordOf = (number) =>
  `${number} ${number % 7 ? 'words' : '茶 👩‍👩‍👧 *так*'}${number % 10 ? ' ' : '\n\n'}`;
export const WHOLE = [
  'Hello',
  ' <img src=x onerror=alert(1)>',
  ' **<img src=x>**',
  ' **茶',
  '** 👩‍👩‍👧',
  ' \u2028 end',
  '\n\n- item\n',
];

/** A server such as OpenAI's. Its answer depends on the question. */
export async function startModel(fixture) {
  const requests = [];
  let open = 0;
  let finish;
  const server = http.createServer(async (request, response) => {
    open += 1;
    response.on('close', () => (open -= 1));
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += chunk;
    requests.push({
      url: request.url,
      authorization: request.headers.authorization,
      body: JSON.parse(body),
    });
    const say = (...chunks) =>
      response.write(chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\r\n\r\n`).join(''));
    const token = (content) => ({ choices: [{ delta: { content }, finish_reason: null }] });
    const answers = {
      whole: async () => {
        const chunks = [
          { choices: [{ delta: { role: 'assistant', content: '' } }] },
          ...WHOLE.map(token),
          { choices: [{ delta: {}, finish_reason: 'stop' }] },
          { choices: [], usage: { total_tokens: 9 } },
        ];
        const events = chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\r\n\r\n`);
        const bytes = Buffer.from(`: a comment\r\n\r\n${events.join('')}data: [DONE]\r\n\r\n`);
        // One byte at a time, so that characters and line ends are cut, too.
        for (const byte of bytes)
          await new Promise((resolve) => response.write(Buffer.of(byte), resolve));
        response.end();
      },
      refused: () =>
        response.writeHead(429).end(JSON.stringify({ error: { message: 'Too many questions' } })),
      'breaks off': () => {
        say(token('It begins'));
        setTimeout(() => response.destroy(), 100);
      },
      'ends early': () => {
        say(token('It begins'));
        response.end();
      },
      fails: () => {
        say(token('It begins'), { error: { message: 'Out of memory' } });
        response.end();
      },
      endless: () => {
        let written = 0;
        const timer = setInterval(() => say(token(wordOf(written++))), 20);
        response.on('close', () => clearInterval(timer));
        finish = () => {
          clearInterval(timer);
          response.end('data: [DONE]\n\n');
        };
      },
    };
    await answers[requests.at(-1).body.messages[0].content]();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  fixture.atClose(() => {
    server.closeAllConnections();
    server.close();
  });
  const baseUrl = `http://127.0.0.1:${server.address().port}/v1`;
  return {
    requests,
    finish: () => finish(),
    stopped: () => until(() => open === 0, 'the model has stopped'),
    settings: {
      OPENAI_BASE_URL: baseUrl,
      OPENAI_API_KEY: 'key-of-the-model',
      OPENAI_MODEL: 'test-model',
    },
  };
}
