import { type ApiError, UnreachableError } from "./errors.js";
import { apiError } from "./http.js";

/** The part of a WebSocket that this client library uses. */
export interface WebSocketLike {
  send(data: string): void;
  close(code?: number): void;
  addEventListener(type: "open" | "error", listener: (event: unknown) => void): void;
  addEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
  addEventListener(type: "close", listener: (event: { code: number }) => void): void;
}

/** A class such as the platform's `WebSocket`, or that of the packages `ws` and `undici`. */
export type WebSocketConstructor = new (url: string, init: never) => WebSocketLike;

/** The given class, or else the platform's. Throws a `TypeError` when there is neither. */
export function webSocketClass(given: WebSocketConstructor | undefined): WebSocketConstructor {
  const found = given ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
  if (!found)
    throw new TypeError(
      "This platform has no WebSocket: set the option WebSocket, such as that of the package ws",
    );
  return found;
}

/**
 * Connects with request headers, which `ws`, Node 22, Deno and Bun take as the second argument.
 * Browsers expect the name of a protocol there, and throw a `SyntaxError`. The caller handles it.
 */
export function openWithHeaders(
  WebSocket: WebSocketConstructor,
  url: URL,
  headers: Record<string, string>,
): WebSocketLike {
  const Constructor = WebSocket as unknown as new (url: string, init: object) => WebSocketLike;
  // By default `ws` limits a message to 100 MiB. A history of any length comes as one message.
  return new Constructor(url.href, { headers, maxPayload: 0 });
}

/** Connects without headers. */
export function openPlain(WebSocket: WebSocketConstructor, url: URL): WebSocketLike {
  const Constructor = WebSocket as new (url: string) => WebSocketLike;
  return new Constructor(url.href);
}

/** Whether `openWithHeaders` failed because the WebSocket rejects headers. */
export function rejectsHeaders(error: unknown): boolean {
  return error instanceof Error && error.name === "SyntaxError";
}

/** The URL with the scheme `ws` or `wss`, or with `http` or `https`. */
export function withScheme(url: URL, scheme: "ws" | "http"): URL {
  return new URL(url.href.replace(/^(?:ws|http)(s?):/, `${scheme}$1:`));
}

/** What the package `ws` has beyond the platform's WebSocket. */
interface NodeWebSocket {
  on(type: "ping", listener: () => void): void;
  on(
    type: "unexpected-response",
    listener: (request: unknown, response: NodeResponse) => void,
  ): void;
  pause(): void;
  resume(): void;
  terminate(): void;
}

interface NodeResponse extends AsyncIterable<Uint8Array> {
  statusCode: number;
  headers: Record<string, string | string[] | undefined>;
}

/** The socket, if it is one of the package `ws`. */
export function nodeWebSocket(socket: WebSocketLike): NodeWebSocket | undefined {
  return "on" in socket && "pause" in socket && "resume" in socket
    ? (socket as unknown as NodeWebSocket)
    : undefined;
}

/**
 * Closes the connection at once. `WebSocket.close` of `ws` would wait half a minute for the other
 * side, and keep the process alive meanwhile.
 */
export function closeAtOnce(socket: WebSocketLike): void {
  const node = nodeWebSocket(socket);
  if (node) node.terminate();
  else socket.close();
}

/**
 * Calls `refused` with the broker's error when it refuses the handshake, or with the reason why
 * that error can't be read.
 */
export function onRefusal(
  socket: NodeWebSocket | undefined,
  refused: (error: Error) => void,
): void {
  socket?.on("unexpected-response", (_request, response) => {
    void readRefusal(response).then(refused, (cause) => refused(new UnreachableError(cause)));
  });
}

async function readRefusal(response: NodeResponse): Promise<ApiError> {
  let body = "";
  const decoder = new TextDecoder();
  for await (const chunk of response) body += decoder.decode(chunk, { stream: true });
  const retryAfter = response.headers["retry-after"];
  return apiError(
    new Response(body, {
      status: response.statusCode,
      headers: typeof retryAfter === "string" ? { "Retry-After": retryAfter } : {},
    }),
  );
}
