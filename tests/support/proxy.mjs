// A TCP proxy between clients and brokers that cuts connections: on command, or after a number of
// bytes.

import { once } from 'node:events';
import net from 'node:net';

export class CuttingProxy {
  cuts = 0;
  /** Whether the proxy refuses new connections, and how many it has refused. */
  refusing = false;
  refused = 0;
  /** How many bytes of responses a new connection may carry, and of requests. */
  allowance = () => Infinity;
  requestAllowance = () => Infinity;
  /**
   * How the proxy cuts a connection: with a `close` that looks orderly, with a `reset`, or with
   * `silence`, in which the connection stays open.
   */
  cutMode = () => (Math.random() < 0.5 ? 'close' : 'reset');
  /** Changes responses, into bytes of the same length, because messages contain their lengths. */
  rewrite = (chunk) => chunk;
  #holding = false;
  #clients = new Set();
  #connections = new Set();
  #server = net.createServer((client) => this.#accept(client));

  constructor(upstreams) {
    this.upstreams = [...upstreams];
  }

  async listen() {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    this.port = this.#server.address().port;
    this.url = `http://127.0.0.1:${this.port}`;
  }

  async close() {
    this.refusing = true;
    for (const client of this.#clients) client.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  cutAll() {
    for (const connection of [...this.#connections]) this.cut(connection);
  }

  /** From now on connections stay open and requests pass, but responses do not. */
  hold() {
    this.#holding = true;
    for (const { upstream } of this.#connections) upstream.pause();
  }

  release() {
    this.#holding = false;
    for (const { upstream } of this.#connections) upstream.resume();
  }

  /** How many connections reach a broker. */
  get open() {
    return this.#connections.size;
  }

  /**
   * Called with the bytes that a client sends, and with the bytes that go to the client. May change
   * how many bytes the connection has left.
   */
  onRequest() {}
  onResponse() {}

  async #accept(client) {
    client.on('error', () => {});
    this.#clients.add(client);
    client.on('close', () => this.#clients.delete(client));
    if (this.refusing) {
      this.refused += 1;
      return client.destroy();
    }
    const upstream = await this.#reach();
    if (!upstream || client.destroyed) {
      upstream?.destroy();
      return client.destroy();
    }
    const connection = {
      client,
      upstream,
      port: upstream.remotePort,
      left: this.allowance(),
      requestLeft: this.requestAllowance(),
      silent: false,
    };
    this.#connections.add(connection);
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    client.on('data', (chunk) => this.#ask(connection, chunk));
    upstream.on('data', (chunk) => this.#answer(connection, chunk));
    if (this.#holding) upstream.pause();
    client.on('close', () => {
      this.#connections.delete(connection);
      upstream.destroy();
    });
    upstream.on('error', () => {});
    upstream.on('close', () => {
      this.#connections.delete(connection);
      // Bytes that came before the close still reach the client.
      if (!connection.silent) client.destroySoon();
    });
  }

  /** Connects to the first node that accepts, and drops the nodes before it. */
  async #reach() {
    while (this.upstreams.length > 0) {
      const [broker] = this.upstreams;
      const socket = net.connect(broker.port, '127.0.0.1');
      const reached = await new Promise((resolve) =>
        socket.once('connect', () => resolve(true)).once('error', () => resolve(false)),
      );
      if (reached) return socket;
      if (this.upstreams[0] === broker) this.upstreams.shift();
    }
    return null;
  }

  #ask(connection, chunk) {
    if (connection.silent) return;
    this.onRequest(connection, chunk);
    const rest = chunk.subarray(0, connection.requestLeft);
    connection.requestLeft -= rest.length;
    this.#pass(connection, rest, connection.client, connection.upstream);
    if (connection.requestLeft <= 0) this.cut(connection);
  }

  #answer(connection, chunk) {
    if (connection.silent) return;
    const rest = this.rewrite(chunk.subarray(0, connection.left));
    connection.left -= rest.length;
    this.onResponse(connection, rest);
    this.#pass(connection, rest, connection.upstream, connection.client);
    if (connection.left <= 0) this.cut(connection);
  }

  /** Passes bytes on. A slow receiver slows its sender down, as without a proxy. */
  #pass({ upstream }, bytes, from, to) {
    if (to.write(bytes)) return;
    from.pause();
    to.once('drain', () => {
      from.resume();
      if (this.#holding) upstream.pause();
    });
  }

  cut(connection) {
    const { client, upstream } = connection;
    if (!this.#connections.delete(connection)) return;
    this.cuts += 1;
    const cutMode = this.cutMode(connection);
    connection.silent = cutMode === 'silence';
    upstream.destroy();
    if (cutMode === 'close') client.destroySoon();
    if (cutMode === 'reset') client.resetAndDestroy();
  }
}

/** Records each request. The requests must not have bodies. */
export class RecordingProxy extends CuttingProxy {
  requests = [];

  /** The requests for streams, without preflights. */
  get gets() {
    return this.requests.filter((request) => request.method === 'GET');
  }

  onRequest(connection, chunk) {
    connection.request = (connection.request ?? '') + chunk.toString('latin1');
    for (
      let end;
      (end = connection.request.indexOf('\r\n\r\n')) >= 0;
      connection.request = connection.request.slice(end + 4)
    ) {
      const [line, ...fields] = connection.request.slice(0, end).split('\r\n');
      const [method, target] = line.split(' ');
      const headers = Object.fromEntries(
        fields.map((field) => [
          field.slice(0, field.indexOf(':')).toLowerCase(),
          field.slice(field.indexOf(':') + 1).trim(),
        ]),
      );
      connection.awaiting = { method, target, headers, status: null, upstream: connection.port };
      connection.answer = '';
      this.requests.push(connection.awaiting);
    }
  }

  onResponse(connection, chunk) {
    if (!connection.awaiting) return;
    // Clients do not pipeline: a response comes before the next request.
    connection.answer += chunk.toString('latin1');
    connection.awaiting.status ??=
      Number(/^HTTP\/1\.1 (\d{3})/.exec(connection.answer)?.[1]) || null;
    if (connection.answer.includes('\r\n\r\n')) connection.awaiting = null;
  }
}
