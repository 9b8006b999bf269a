// A server whose responses a test has scripted, for several streams.

import type http from "node:http";
import type { TestContext } from "node:test";
import type { KeyedEvent } from "tinistreamer/subscribe";
import { startServer } from "./support.js";

export const sse = { "Content-Type": "text/event-stream" };
export const ndjson = { "Content-Type": "application/x-ndjson" };

/** A frame of one of several streams. Its id is a cursor. */
export const frame = (cursor: string, event = "token", data = "") =>
  `id: ${cursor}\nevent: ${event}\ndata: ${data}\n\n`;
export const line = (value: unknown) => `${JSON.stringify(value)}\n`;
export const summary = (events: KeyedEvent[]) =>
  events.map(({ key, id, event }) => [key, id, event]);

type ScriptedAnswer = (
  request: http.IncomingMessage,
  response: http.ServerResponse,
  query: URLSearchParams,
) => unknown;

/** A server that answers each request by the next of these functions, and records the requests. */
export async function startScript(t: TestContext, ...answers: ScriptedAnswer[]) {
  const requests: { query: URLSearchParams; after: string | undefined }[] = [];
  const url = await startServer(t, (request, response) => {
    const query = new URL(request.url ?? "", "http://localhost").searchParams;
    requests.push({ query, after: request.headers["last-event-id"] as string | undefined });
    const answer = answers[requests.length - 1];
    if (answer) answer(request, response, query);
    else response.writeHead(500).end();
  });
  const keys = () => requests.map(({ query }) => query.getAll("key").join());
  return { url, requests, keys };
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
