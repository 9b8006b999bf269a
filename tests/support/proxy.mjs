// TCP between clients and brokers that is cut: on command, or after as many bytes as new
// connections are given.

import { once } from 'node:events';
import net from 'node:net';

export class CuttingProxy {
  cuts = 0;
  /** Whether newcomers are refused, and how many were. */
  refusing = false;
  refused = 0;
  /** How many bytes of answers a new connection gets, and of requests. */
  allowance = () => Infinity;
  requestAllowance = () => Infinity;
  /**
   * How a connection is cut: by a `close` that looks orderly, by a `reset`, or by `silence`, in
   * which it stays open.
   */
  manner = () => (Math.random() < 0.5 ? 'close' : 'reset');
  /**
   * Changes answers, into bytes of the same length: they are parts of messages that tell their
   * lengths.
   */
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

  /** From now on connections stay, requests pass, and answers do not. */
  hold() {
    this.#holding = true;
    for (const { upstream } of this.#connections) upstream.pause();
  }

  release() {
    this.#holding = false;
    for (const { upstream } of this.#connections) upstream.resume();
  }

  /** Connections that reach a broker. */
  get open() {
    return this.#connections.size;
  }

  /**
   * Called with what the client sends, and with what goes on its way to the client. May change what
   * the connection has left.
   */
  asked() {}
  answered() {}

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
      // What came before the close still goes out.
      if (!connection.silent) client.destroySoon();
    });
  }

  /** The first node that accepts; those before it are gone for good. */
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
    this.asked(connection, chunk);
    const rest = chunk.subarray(0, connection.requestLeft);
    connection.requestLeft -= rest.length;
    this.#pass(connection, rest, connection.client, connection.upstream);
    if (connection.requestLeft <= 0) this.cut(connection);
  }

  #answer(connection, chunk) {
    if (connection.silent) return;
    const rest = this.rewrite(chunk.subarray(0, connection.left));
    connection.left -= rest.length;
    this.answered(connection, rest);
    this.#pass(connection, rest, connection.upstream, connection.client);
    if (connection.left <= 0) this.cut(connection);
  }

  /**
   * A receiver that does not take what it gets holds its sender back, as if there were no proxy.
   */
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
    const manner = this.manner(connection);
    connection.silent = manner === 'silence';
    upstream.destroy();
    if (manner === 'close') client.destroySoon();
    if (manner === 'reset') client.resetAndDestroy();
  }
}

/** Notes each request, for which requests must have no bodies. */
export class NotingProxy extends CuttingProxy {
  requests = [];

  /** The requests for streams, without preflights. */
  get gets() {
    return this.requests.filter((request) => request.method === 'GET');
  }

  asked(connection, chunk) {
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

  answered(connection, chunk) {
    if (!connection.awaiting) return;
    // Clients do not pipeline, so that a request is answered before the next one comes.
    connection.answer += chunk.toString('latin1');
    connection.awaiting.status ??=
      Number(/^HTTP\/1\.1 (\d{3})/.exec(connection.answer)?.[1]) || null;
    if (connection.answer.includes('\r\n\r\n')) connection.awaiting = null;
  }
}
