// An HTTP proxy that breaks the first answer at a place that is told by the answer's text.

import { once } from 'node:events';
import http from 'node:http';

export class BreakingProxy {
  /** The status of each answer. */
  statuses = [];
  #broker;
  #place;
  #orderly;
  #broken = false;
  #server = http.createServer((request, response) => this.#pass(request, response));

  /**
   * `place(text)` is the length of the text after which the first answer breaks, or negative.
   * Without one nothing breaks.
   */
  constructor(broker, place = () => -1, { orderly = false } = {}) {
    this.#broker = broker;
    this.#place = place;
    this.#orderly = orderly;
  }

  async listen() {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    this.port = this.#server.address().port;
  }

  async close() {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  #pass({ url, method, headers }, response) {
    const upstream = http.request(
      { port: this.#broker.port, host: '127.0.0.1', path: url, method, headers, agent: false },
      (answer) => {
        this.statuses.push(answer.statusCode);
        // Which libraries wait how long is nothing that a test should wait for.
        const fast = (text) => text.replace(/^retry: *\d+$/m, 'retry: 10');
        response.writeHead(answer.statusCode, answer.headers);
        const breaks = !this.#broken;
        let text = '';
        let sent = 0;
        answer.setEncoding('utf8').on('data', (chunk) => {
          text += chunk;
          if (!breaks) return response.write(fast(chunk));
          const place = this.#place(text);
          const end = place >= 0 ? place : text.length;
          const more = fast(text.slice(sent, end));
          sent = end;
          if (place < 0) return response.write(more);
          this.#broken = true;
          answer.removeAllListeners('data').removeAllListeners('end');
          upstream.destroy();
          if (this.#orderly) return response.end(more);
          // A flushed write is not yet a read one: the end of the connection comes behind the
          // bytes.
          return response.write(more, () => response.socket?.destroySoon());
        });
        answer.on('end', () => response.end());
        answer.on('error', () => {});
      },
    );
    upstream.on('error', () => response.destroy());
    response.on('close', () => upstream.destroy());
    upstream.end();
  }
}
