// Servers that answer connections to several streams by a script.

import type http from "node:http";
import type { TestContext } from "node:test";
import type { KeyedEvent } from "tinistreamer/subscribe";
import { startServer } from "./support.js";

export const sse = { "Content-Type": "text/event-stream" };
export const ndjson = { "Content-Type": "application/x-ndjson" };

/** A frame of one of several streams, whose id is a cursor. */
export const frame = (cursor: string, event = "token", data = "") =>
  `id: ${cursor}\nevent: ${event}\ndata: ${data}\n\n`;
export const line = (value: unknown) => `${JSON.stringify(value)}\n`;
export const told = (events: KeyedEvent[]) => events.map(({ key, id, event }) => [key, id, event]);

type ScriptedAnswer = (
  request: http.IncomingMessage,
  response: http.ServerResponse,
  query: URLSearchParams,
) => unknown;

/**
 * A server that answers the first request by the first of these, and so on; and what it was asked.
 */
export async function startScript(t: TestContext, ...answers: ScriptedAnswer[]) {
  const asked: { query: URLSearchParams; after: string | undefined }[] = [];
  const url = await startServer(t, (request, response) => {
    const query = new URL(request.url ?? "", "http://localhost").searchParams;
    asked.push({ query, after: request.headers["last-event-id"] as string | undefined });
    const answer = answers[asked.length - 1];
    if (answer) answer(request, response, query);
    else response.writeHead(500).end();
  });
  const keys = () => asked.map(({ query }) => query.getAll("key").join());
  return { url, asked, keys };
}

export const stream =
  (headers: http.OutgoingHttpHeaders, ...chunks: string[]): ScriptedAnswer =>
  (_request, response) => {
    response.writeHead(200, headers);
    for (const chunk of chunks) response.write(chunk);
    response.end();
  };

export const staying =
  (headers: http.OutgoingHttpHeaders, ...chunks: string[]): ScriptedAnswer =>
  (_request, response) => {
    response.writeHead(200, headers).flushHeaders();
    for (const chunk of chunks) response.write(chunk);
  };

export const json =
  (value: unknown): ScriptedAnswer =>
  (_request, response) =>
    response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(value));

export const refusing =
  (status: number, code: string): ScriptedAnswer =>
  (_request, response) =>
    response.writeHead(status).end(JSON.stringify({ code, message: "No" }));

export const retry = "retry: 1\n";
