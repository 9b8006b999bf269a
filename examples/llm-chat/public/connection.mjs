/**
 * A `fetch` for `subscribe` that tells how its connection is: `trying`, `up`, `lost`. `cut` breaks
 * it, as a network does, so that the client has to find out and to resume by itself.
 */
export class Connection {
  #tell;
  #cut = new AbortController();

  constructor(tell) {
    this.#tell = tell;
  }

  fetch = async (url, init) => {
    this.#cut = new AbortController();
    this.#tell('trying');
    const response = await fetch(url, {
      ...init,
      signal: AbortSignal.any([init.signal, this.#cut.signal]),
    });
    if (!response.ok || !response.body) return response;
    this.#tell('up');
    return new Response(this.#watched(response.body.getReader(), init.signal), response);
  };

  cut() {
    this.#cut.abort(new Error('The connection was cut'));
  }

  /** The same bytes, read only when they are asked for. */
  #watched(reader, left) {
    const lost = () => {
      // Aborted by the client itself, it is not lost but no longer wanted.
      if (!left.aborted) this.#tell('lost');
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
