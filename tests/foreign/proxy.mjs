// An HTTP proxy that breaks the first response at a position in its text.

import { once } from 'node:events';
import http from 'node:http';

export class BreakingProxy {
  /** The status of each response. */
  statuses = [];
  #broker;
  #position;
  #orderly;
  #broken = false;
  #server = http.createServer((request, response) => this.#pass(request, response));

  /**
   * `position(text)` returns the length of the text after which the first response breaks, or a
   * negative number. By default nothing breaks.
   */
  constructor(broker, position = () => -1, { orderly = false } = {}) {
    this.#broker = broker;
    this.#position = position;
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
        // A short retry delay, so that the test does not wait for the libraries.
        const fast = (text) => text.replace(/^retry: *\d+$/m, 'retry: 10');
        response.writeHead(answer.statusCode, answer.headers);
        const breaks = !this.#broken;
        let text = '';
        let sent = 0;
        answer.setEncoding('utf8').on('data', (chunk) => {
          text += chunk;
          if (!breaks) return response.write(fast(chunk));
          const position = this.#position(text);
          const end = position >= 0 ? position : text.length;
          const more = fast(text.slice(sent, end));
          sent = end;
          if (position < 0) return response.write(more);
          this.#broken = true;
          answer.removeAllListeners('data').removeAllListeners('end');
          upstream.destroy();
          if (this.#orderly) return response.end(more);
          // The bytes were sent, but perhaps not read. So the connection ends behind them.
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
