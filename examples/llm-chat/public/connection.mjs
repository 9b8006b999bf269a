/**
 * A `fetch` for `subscribe`. `cut` breaks the connection as a network does, so that the client
 * library has to notice it and to resume.
 */
export class Connection {
  #cut = new AbortController();

  fetch = (url, init) => {
    this.#cut = new AbortController();
    return fetch(url, { ...init, signal: AbortSignal.any([init.signal, this.#cut.signal]) });
  };

  cut() {
    this.#cut.abort(new Error('The connection was cut'));
  }
}
