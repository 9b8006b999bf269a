// A server that answers the routes of a producer as the test sets.

import type http from "node:http";
import type { TestContext } from "node:test";
import { Client, type ClientOptions, type SignalRecord } from "tinistreamer";
import { startServer, until } from "./support.js";

/** A request that the server got. */
export interface Request {
  path: string;
  query: URLSearchParams;
  /** The parsed body. NDJSON is a list. */
  body: unknown;
  headers: http.IncomingHttpHeaders;
  /** Whether the client has closed the connection before it got a response. */
  readonly left: boolean;
}

/** Answers a request: a status and a body. Undefined never answers. */
export type Answer = (
  request: Request,
) => [number, unknown] | undefined | Promise<[number, unknown] | undefined>;

/** The answer of a broker that does not know a route. */
export const unknownRoute: Answer = ({ path }) => [
  404,
  { code: "not-found", message: `There is nothing at ${path}` },
];

export const renewed = (stop: string | null = null): [number, unknown] => [
  200,
  { lease_expires_at: "2026-01-01T00:00:30Z", stall_expires_at: null, stop_expires_at: stop },
];

export const signals = (status: string, ...signals: SignalRecord[]): [number, unknown] => [
  200,
  { generation: "0".repeat(32), signals, stream_status: status },
];

export const signal = (seq: number, name: string, by?: string): SignalRecord => ({
  seq,
  name,
  time: "2026-01-01T00:00:07.000Z",
  ...(by === undefined ? {} : { by }),
});

/** The answer to a request that needs an active stream. */
export const noActiveStream = (status?: string): [number, unknown] => [
  404,
  { code: "no-active-stream", message: "No active stream", stream_status: status },
];

/** The answers of a broker that stores everything. */
const DEFAULTS: Record<string, Answer> = {
  "/api/event/add/json-stream": ({ body }) => [
    200,
    { ids: [], num_events: (body as []).length, num_errors: 0, errors: [], last_id: "1-1" },
  ],
  "/api/stream/end": () => [200, { status: "ended" }],
  "/api/stream/cancel": () => [200, { status: "cancelled" }],
  "/api/stream/fail": () => [200, { status: "failed" }],
};

/**
 * Starts a server with these answers, beside those of a broker that stores everything. A route
 * without an answer is unknown to it.
 */
export async function startRoutes(
  t: TestContext,
  answers: Record<string, Answer>,
  options: Partial<ClientOptions> = {},
) {
  const requests: Request[] = [];
  const url = await startServer(t, async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const { pathname: path, searchParams: query } = new URL(request.url ?? "", "http://localhost");
    const found: Request = {
      path,
      query,
      body: path.endsWith("json-stream") ? text.trimEnd().split("\n").map(parse) : parse(text),
      headers: request.headers,
      get left() {
        return response.destroyed && !response.writableFinished;
      },
    };
    requests.push(found);
    const answer = await (answers[path] ?? DEFAULTS[path] ?? unknownRoute)(found);
    if (!answer) return;
    const [status, body] = answer;
    response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
  });
  const to = (path: string) => requests.filter((request) => request.path === path);
  return {
    client: new Client({ url, apiKey: "k", ...options }),
    url,
    requests,
    to,
    /** Waits for the request of this number to a route. */
    async reached(path: string, number = 0): Promise<Request> {
      return until(() => to(path)[number], `request ${number} to ${path}`);
    },
  };
}

function parse(text: string): unknown {
  return text === "" ? undefined : JSON.parse(text);
}
