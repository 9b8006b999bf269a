/** An event as server-sent events carry it. */
export interface ServerSentEvent {
  /** The event's own `id:` line, if it had one. */
  id: string | undefined;
  /**
   * Undefined, as `data`, for a block that has an id and no data: it is no event, and moves the
   * position.
   */
  event: string | undefined;
  data: string | undefined;
}

/** A `retry:` line: how long to wait before connecting again, in milliseconds. */
export interface RetryHint {
  retry: number;
}

/** A comment, by which a server says that it is there. */
export interface Comment {
  comment: string;
}

export type Parsed = ServerSentEvent | RetryHint | Comment;

/**
 * Takes an event stream apart as the HTML standard says ("9.2.6 Interpreting an event stream"),
 * however it was cut into chunks. The differences: an event has only an id of its own, not that of
 * the last event that had one; a block of an id without data, which is no event, comes out, too, as
 * that is how a position moves; and so do comments, which are heartbeats.
 */
export class SseParser {
  /**
   * As the standard's "UTF-8 decode" does, it leaves out a byte order mark at the beginning, and
   * replaces what is no UTF-8.
   */
  readonly #decoder = new TextDecoder();
  #rest = "";
  #afterCr = false;
  #id: string | undefined;
  #event = "";
  #data: string | undefined;

  /** What these bytes complete, in order. */
  push(bytes: Uint8Array): Parsed[] {
    const found: Parsed[] = [];
    let chunk = this.#decoder.decode(bytes, { stream: true });
    if (chunk === "") return found;
    // A line ends at a CR at once; if the LF that belongs to it comes with the next chunk, that is
    // not another line.
    if (this.#afterCr && chunk.startsWith("\n")) chunk = chunk.slice(1);
    this.#afterCr = chunk.endsWith("\r");

    const text = this.#rest + chunk;
    const lineEnd = /\r\n?|\n/g;
    lineEnd.lastIndex = this.#rest.length;
    let from = 0;
    for (let match = lineEnd.exec(text); match; match = lineEnd.exec(text)) {
      const parsed = this.#line(text.slice(from, match.index));
      if (parsed) found.push(parsed);
      from = lineEnd.lastIndex;
    }
    this.#rest = text.slice(from);
    return found;
  }

  #line(line: string): Parsed | undefined {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    switch (field) {
      case "":
        return { comment: value };
      case "event":
        this.#event = value;
        break;
      case "data":
        this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`;
        break;
      case "id":
        if (!value.includes("\0")) this.#id = value;
        break;
      case "retry":
        if (/^[0-9]+$/.test(value)) return { retry: Number(value) };
        break;
    }
    return undefined;
  }

  #dispatch(): ServerSentEvent | undefined {
    const [id, data] = [this.#id, this.#data];
    const event =
      data !== undefined
        ? { id, event: this.#event || "message", data }
        : id
          ? { id, event: undefined, data }
          : undefined;
    this.#id = undefined;
    this.#event = "";
    this.#data = undefined;
    return event;
  }
}
