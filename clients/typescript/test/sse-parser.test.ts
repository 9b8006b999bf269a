import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createParser } from "eventsource-parser";
import { SseParser } from "../src/subscribe/sse-parser.js";

const encoder = new TextEncoder();

function parse(...chunks: (string | Uint8Array)[]) {
  const parser = new SseParser();
  return chunks.flatMap((chunk) =>
    parser.push(typeof chunk === "string" ? encoder.encode(chunk) : chunk),
  );
}

const message = (data: string, id?: string) => ({ id, event: "message", data });

describe("the parser of server-sent events", () => {
  const cases: [string, Parameters<typeof parse>, ReturnType<typeof parse>][] = [
    [
      "ends lines at LF, CR and CRLF",
      ["data: a\n\ndata: b\r\rdata: c\r\n\r\n"],
      [message("a"), message("b"), message("c")],
    ],
    [
      "takes CR and LF in two chunks for one end",
      ["data: a\r", "\ndata: b\r", "\n\r", "\n"],
      [message("a\nb")],
    ],
    ["dispatches at a CR without waiting for more", ["data: a\r\r"], [message("a")]],
    [
      "skips a byte order mark at the start, and only there",
      ["\uFEFFdata: a\n\n\uFEFFdata: b\n\ndata: c\n\n"],
      [message("a"), message("c")],
    ],
    ["joins lines of data with LF", ["data: a\ndata\ndata: b\n\n"], [message("a\n\nb")]],
    ["skips one space after the colon", ["data:  a\n\ndata:b\n\n"], [message(" a"), message("b")]],
    [
      "dispatches an event with empty data, but none without data",
      ["event: x\ndata:\n\nevent: y\n\ndata\n\n"],
      [{ id: undefined, event: "x", data: "" }, message("")],
    ],
    ["skips unknown fields", ["foo: bar\nDATA: x\ndata: a\n\n"], [message("a")]],
    [
      "finds comments, also within an event",
      [":\n\n: hello\ndata: a\n:b\n\n"],
      [{ comment: "" }, { comment: "hello" }, { comment: "b" }, message("a")],
    ],
    [
      "finds the id of a block without data, and of that block alone",
      ["id: a:1-5,b:\n\nevent: x\nid: 2\n\ndata: a\n\nid\n\n"],
      [
        { id: "a:1-5,b:", event: undefined, data: undefined },
        { id: "2", event: undefined, data: undefined },
        message("a"),
      ],
    ],
    ["ignores an id with NUL", ["id: 1\nid: 2\0\ndata: a\n\n"], [message("a", "1")]],
    [
      "takes retry of digits alone",
      ["retry: 10\nretry: 1x\nretry: -1\nretry\nretry: 1.5\nretry:20\n"],
      [{ retry: 10 }, { retry: 20 }],
    ],
    ["drops an event that is not complete at the end", ["data: a\n"], []],
    [
      "decodes characters whose bytes come in two chunks",
      [encoder.encode("data: 🦀\n\n").subarray(0, 8), encoder.encode("data: 🦀\n\n").subarray(8)],
      [message("🦀")],
    ],
    [
      "replaces what is no UTF-8",
      [Uint8Array.of(...encoder.encode("data: "), 0xff, 0x0a, 0x0a)],
      [message("\uFFFD")],
    ],
  ];
  for (const [name, chunks, expected] of cases) {
    test(name, () => assert.deepEqual(parse(...chunks), expected));
  }
});

test("with chunks of any size, the parser agrees with eventsource-parser", () => {
  const parts = [
    "data",
    "id",
    "event",
    "retry",
    ":",
    " ",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "x",
    "12",
    "ü",
    "🦀",
    "\u2028",
    "data: a\n\n",
  ];
  const random = (below: number) => Math.floor(Math.random() * below);
  for (let round = 0; round < 2_000; round += 1) {
    const text = Array.from({ length: random(60) }, () => parts[random(parts.length)]).join("");
    const expected: unknown[] = [];
    const oracle = createParser({
      onEvent: ({ id, event = "message", data }) => expected.push({ id, event, data }),
      onRetry: (retry) => expected.push({ retry }),
      onComment: (comment) => expected.push({ comment }),
    });
    // One more character, because the oracle waits after a CR. It completes nothing.
    oracle.feed(`${text}:`);

    const bytes = encoder.encode(text);
    const parser = new SseParser();
    const found: unknown[] = [];
    for (let from = 0; from < bytes.length; ) {
      const to = from + random(5);
      // By the standard, the oracle dispatches nothing for a block without data.
      found.push(
        ...parser
          .push(bytes.subarray(from, to))
          .filter((item) => !("data" in item && item.data === undefined)),
      );
      from = to;
    }
    assert.deepEqual(found, expected, JSON.stringify(text));
  }
});
