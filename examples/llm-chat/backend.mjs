import { once } from 'node:events';
import { createServer } from 'node:http';
import { ApiError, Client, UnreachableError } from 'tinistreamer';
import { Answers } from './answers.mjs';
import { serveFile } from './files.mjs';

const MAX_BODY = 64 * 1024;
const MAX_QUESTION = 4_000;

/** An error in the request of a page. */
class RequestError extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

/**
 * Serves the page and its API on loopback. `port` 0 takes any free port. Resolves with the page's
 * URL, and a function that stops all models and the server.
 */
export async function startBackend({ brokerUrl, apiKey, model, port }) {
  const client = new Client({ url: brokerUrl, apiKey });
  const answers = new Answers(client, model);
  // The page follows answers at the broker itself, at its address for browsers.
  const { url: brokerForPages } = await client.brokerInfo();
  const server = createServer(async (request, response) => {
    try {
      const { pathname } = new URL(`http://backend${request.url}`);
      if (!pathname.startsWith('/api/'))
        return await serveFile(request, response, pathname, brokerForPages);
      answer(response, 200, await callApi(answers, request, pathname));
    } catch (error) {
      const { status, code, message } = errorFor(error);
      if (status >= 500) console.error(error);
      answer(response, status, { code, message });
    }
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close: async () => {
      server.close();
      await answers.close();
      server.closeAllConnections();
    },
  };
}

/**
 * The two routes. An id is as long as a password, and a page with an id may read and stop that
 * answer. A real application would check here who is signed in, and whose answer it is.
 */
async function callApi(answers, request, pathname) {
  const [, id] = /^\/api\/answers\/([0-9a-f-]{36})$/.exec(pathname) ?? [];
  const route = `${request.method} ${id ? '/api/answers/:id' : pathname}`;
  switch (route) {
    case 'POST /api/ask':
      return answers.ask(await readQuestion(request));
    case 'GET /api/answers/:id':
      return answers.open(id);
    default:
      throw new RequestError(404, 'not-found', `There is no ${request.method} ${pathname}`);
  }
}

async function readQuestion(request) {
  // Only this page sends JSON. Browsers do not let other sites do that without a preflight.
  if (!request.headers['content-type']?.startsWith('application/json'))
    throw new RequestError(415, 'unsupported-media-type', 'The question comes as JSON');
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) {
    body += chunk;
    if (body.length > MAX_BODY)
      throw new RequestError(413, 'too-large', 'The question is too long');
  }
  const question = parse(body)?.question;
  if (typeof question !== 'string' || question.trim() === '' || question.length > MAX_QUESTION)
    throw new RequestError(
      400,
      'invalid-question',
      `A question is a text of 1 to ${MAX_QUESTION} characters`,
    );
  return question;
}

function parse(json) {
  try {
    return JSON.parse(json);
  } catch {
    throw new RequestError(400, 'malformed-json', 'The body is not JSON');
  }
}

/** The status, code and message that the page receives for an error. */
function errorFor(error) {
  if (error instanceof RequestError) return error;
  if (error instanceof ApiError && error.status === 404) return error;
  if (error instanceof ApiError || error instanceof UnreachableError)
    return {
      status: 503,
      code: 'broker-unavailable',
      message: 'Answers are not available now, try again later',
    };
  return { status: 500, code: 'internal-error', message: 'The backend failed' };
}

function answer(response, status, body) {
  response
    .writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' })
    .end(JSON.stringify(body));
}
