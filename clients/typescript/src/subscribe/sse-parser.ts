/** An event as server-sent events carry it. */
export interface ServerSentEvent {
  /** The event's own `id:` line, if it had one. */
  id: string | undefined;
  /**
   * Undefined, like `data`, for a block that has an id and no data. Such a block is not an event:
   * it moves the position.
   */
  event: string | undefined;
  data: string | undefined;
}

/** A `retry:` line: how long to wait before connecting again, in milliseconds. */
export interface RetryHint {
  retry: number;
}

/** A comment. A server sends it as a heartbeat. */
export interface Comment {
  comment: string;
}

export type Parsed = ServerSentEvent | RetryHint | Comment;

/**
 * Parses an event stream by the HTML standard ("9.2.6 Interpreting an event stream"). The chunks
 * may be cut anywhere.
 *
 * It differs from the standard in three ways. An event has only its own id, not the id of an
 * earlier event. A block with an id and without data is returned, because it moves the position.
 * Comments are returned, because they are heartbeats.
 */
export class SseParser {
  /**
   * Drops a byte order mark at the start and replaces invalid UTF-8, as the standard's "UTF-8
   * decode" does.
   */
  readonly #decoder = new TextDecoder();
  #rest = "";
  #afterCr = false;
  #id: string | undefined;
  #event = "";
  #data: string | undefined;

  /** Returns what these bytes complete, in order. */
  push(bytes: Uint8Array): Parsed[] {
    const parsed: Parsed[] = [];
    let chunk = this.#decoder.decode(bytes, { stream: true });
    if (chunk === "") return parsed;
    // A CR ends a line at once. Its LF may come with the next chunk, and then ends no other line.
    if (this.#afterCr && chunk.startsWith("\n")) chunk = chunk.slice(1);
    this.#afterCr = chunk.endsWith("\r");

    const text = this.#rest + chunk;
    const lineEnd = /\r\n?|\n/g;
    lineEnd.lastIndex = this.#rest.length;
    let from = 0;
    for (let match = lineEnd.exec(text); match; match = lineEnd.exec(text)) {
      const item = this.#line(text.slice(from, match.index));
      if (item) parsed.push(item);
      from = lineEnd.lastIndex;
    }
    this.#rest = text.slice(from);
    return parsed;
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
