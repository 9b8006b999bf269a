import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { Client } from "tinistreamer";
import { WebSocket } from "ws";
import { Fixture } from "../../../tests/support/fixture.mjs";

export { until } from "../../../tests/support/processes.mjs";

/** The part of a broker that tests use directly. */
interface Broker {
  url: string;
  apiKey: string;
  connectionsInUse(): Promise<number>;
}

/** A real broker with the embedded store. It is stopped after the test. */
export async function startBroker(t: TestContext, settings: Record<string, string> = {}) {
  const fixture = new Fixture("memory", settings);
  t.after(() => fixture.close());
  const broker = (await fixture.broker()) as unknown as Broker;
  const client = new Client({ url: broker.url, apiKey: broker.apiKey });
  return { broker, client, url: broker.url, apiKey: broker.apiKey };
}

/** The URLs of a stream at the broker's own address. The broker returns its public address. */
export function streamUrls(url: string, key: string) {
  const query = new URLSearchParams({ key });
  const at = (transport: string) => `${url}/api/client/${transport}?${query}`;
  return {
    sse: at("sse"),
    ndjson: at("ndjson"),
    poll: at("poll"),
    ws: at("ws").replace("http", "ws"),
  };
}

/** A server that answers as the test sets. */
export async function startServer(t: TestContext, answer: http.RequestListener): Promise<string> {
  const server = http.createServer(answer).listen(0, "127.0.0.1");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A WebSocket like those of browsers: it rejects headers, and has only the standard's events. */
export class BrowserWebSocket {
  /** The URLs of all instances. */
  static urls: string[] = [];
  readonly #socket: WebSocket;

  constructor(url: string, protocols?: unknown) {
    if (protocols !== undefined)
      throw new DOMException("Not the name of a protocol", "SyntaxError");
    BrowserWebSocket.urls.push(url);
    this.#socket = new WebSocket(url);
  }

  send(data: string): void {
    this.#socket.send(data);
  }

  close(): void {
    this.#socket.close();
  }

  addEventListener(
    type: "open" | "message" | "close" | "error",
    listener: (event: never) => void,
  ): void {
    this.#socket.addEventListener(type, listener as () => void);
  }
}

/** All items of an iterable. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
