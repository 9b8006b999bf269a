/**
 * A `fetch` for `subscribe` that reports the state of its connection: `trying`, `up` or `lost`.
 * `cut` breaks the connection as a network does, so that the client library has to notice it and to
 * resume.
 */
export class Connection {
  #report;
  #cut = new AbortController();

  constructor(report) {
    this.#report = report;
  }

  fetch = async (url, init) => {
    this.#cut = new AbortController();
    this.#report('trying');
    const response = await fetch(url, {
      ...init,
      signal: AbortSignal.any([init.signal, this.#cut.signal]),
    });
    if (!response.ok || !response.body) return response;
    this.#report('up');
    return new Response(this.#observed(response.body.getReader(), init.signal), response);
  };

  cut() {
    this.#cut.abort(new Error('The connection was cut'));
  }

  /** Passes the same bytes on. It reads only when the client library reads. */
  #observed(reader, left) {
    const lost = () => {
      // When the client library itself has aborted, the connection is not lost.
      if (!left.aborted) this.#report('lost');
    };
    const source = {
      pull: async (controller) => {
        try {
          const { done, value } = await reader.read();
          if (!done) return controller.enqueue(value);
          lost();
          controller.close();
        } catch (error) {
          lost();
          controller.error(error);
        }
      },
      cancel: (reason) => reader.cancel(reason),
    };
    return new ReadableStream(source, { highWaterMark: 0 });
  }
}
