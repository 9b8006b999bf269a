import type { ChatHandlers } from "./handlers.js";

/** What is used of the request of Node, as Express extends it. */
export interface NodeRequest extends AsyncIterable<Uint8Array | string> {
  method?: string | undefined;
  url?: string | undefined;
  /** The whole path, where a router has taken a part of it from `url`. */
  originalUrl?: string | undefined;
  headers: Record<string, string | string[] | undefined>;
  /** What `express.json()` has made of the body. */
  body?: unknown;
}

/** What is used of the response of Node. */
export interface NodeResponse {
  writeHead(status: number, headers: Record<string, string>): unknown;
  end(body: string): unknown;
}

/**
 * Makes a handler for Express and `node:http` of the handlers of a chat:
 * `app.all("/api/chat", toNodeHandler(chat))`, with or without `express.json()`.
 */
export function toNodeHandler(
  handlers: ChatHandlers,
): (request: NodeRequest, response: NodeResponse) => Promise<void> {
  return async (request, response) => {
    const handler = handlers[request.method as keyof ChatHandlers];
    const answer = handler
      ? await handler(webRequest(request))
      : new Response(null, { status: 405, headers: { Allow: Object.keys(handlers).join(", ") } });
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    response.end(await answer.text());
  };
}

function webRequest(request: NodeRequest): Request {
  const { method = "GET", headers } = request;
  // The handlers use the query alone.
  const url = new URL(request.originalUrl ?? request.url ?? "/", "http://localhost");
  const init: RequestInit & { duplex: "half" } = {
    method,
    headers: webHeaders(headers),
    duplex: "half",
  };
  if (method === "POST") init.body = bodyOf(request);
  return new Request(url, init);
}

function webHeaders(headers: NodeRequest["headers"]): Headers {
  const copy = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    // HTTP/2 has pseudo headers.
    if (value === undefined || name.startsWith(":")) continue;
    for (const one of [value].flat()) copy.append(name, one);
  }
  return copy;
}

/** The body, also when a parser of Express has read it already. */
function bodyOf(request: NodeRequest): BodyInit {
  const { body } = request;
  if (typeof body === "string" || body instanceof Uint8Array) return body as BodyInit;
  if (typeof body === "object" && body !== null) return JSON.stringify(body);
  const chunks = request[Symbol.asyncIterator]();
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await chunks.next();
        if (done) controller.close();
        else controller.enqueue(typeof value === "string" ? encoder.encode(value) : value);
      },
      async cancel() {
        await chunks.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}
