// How answers are written into events and read again. tests/ai-sdk has the chats: with both versions
// of the AI SDK, a broker and a browser.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { readUIMessageStream, type UIMessage, type UIMessageChunk } from "ai";
import { withQuery } from "../src/ai-sdk/access.js";
import { Assembler } from "../src/ai-sdk/assembler.js";
import { pipeUIMessageStream } from "../src/ai-sdk/pipe.js";
import { chunksOfMessage } from "../src/ai-sdk/restore.js";
import { ChunkDecoder, encodeChunk, encodeMessage, MessageDecoder } from "../src/ai-sdk/wire.js";
import { StoppedError } from "../src/errors.js";
import type { Writer } from "../src/publish/writer.js";

const delta = (text: string): UIMessageChunk => ({ type: "text-delta", id: "0", delta: text });

/** The message that these chunks make. */
async function messageOf(chunks: UIMessageChunk[]): Promise<UIMessage | undefined> {
  const stream = new ReadableStream<UIMessageChunk>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  let message: UIMessage | undefined;
  for await (const next of readUIMessageStream({ stream })) message = next;
  return message;
}

/** A part without members that have no value, and without the names that it had in its stream. */
function essential(part: object): unknown {
  const { rawInput, ...rest } = part as { rawInput?: string; type: string; id?: string };
  return JSON.parse(JSON.stringify(rest.type === "reasoning" ? { ...rest, id: undefined } : rest));
}

describe("chunks in events", () => {
  const decodeAll = (events: string[]) => {
    const decoder = new ChunkDecoder();
    return events.map((data) => decoder.decode(data)).filter((chunk) => chunk !== undefined);
  };

  test("each chunk comes back as it was, also halves of characters", () => {
    const chunks: UIMessageChunk[] = [
      delta("a\ud83e"),
      delta("\udd80 \0\r\n\u2028"),
      { type: "tool-input-delta", toolCallId: "t", inputTextDelta: '{"delta":' },
      { type: "data-delta", data: { delta: "x" } },
      { type: "finish" },
    ];
    const events = chunks.flatMap(encodeChunk);
    assert.equal(events.length, chunks.length);
    assert.ok(events.every((data) => !/\p{Surrogate}/u.test(data)));
    assert.deepEqual(decodeAll(events), chunks);
  });

  test("deltas have one place, so that the broker joins them", () => {
    const call = { type: "tool-input-delta", toolCallId: "t" } as const;
    const [first, second] = ['{"q":', "1}"].map((inputTextDelta) =>
      JSON.parse(encodeChunk({ ...call, inputTextDelta })[0] ?? ""),
    );
    assert.deepEqual({ ...first, delta: "" }, { ...second, delta: "" });
    const joined = { ...first, delta: first.delta + second.delta };
    assert.deepEqual(decodeAll([JSON.stringify(joined)]), [{ ...call, inputTextDelta: '{"q":1}' }]);
  });

  test("a large chunk is cut into events of limited size", () => {
    const chunk: UIMessageChunk = { type: "data-big", data: '🦀"\u0001'.repeat(100_000) };
    const events = encodeChunk(chunk);
    assert.ok(events.length > 5);
    assert.ok(events.every((data) => JSON.stringify(data).length < 1024 * 1024));
    assert.deepEqual(decodeAll(events), [chunk]);
    const again = new ChunkDecoder();
    for (const data of [...events, ...events]) again.decode(data);
  });

  test("what is too large, or no chunk, is an error", () => {
    const code = (code: string) => ({ name: "ChatError", code });
    const huge = delta("x".repeat(17 * 1024 * 1024));
    assert.throws(() => encodeChunk(huge), code("chunk-too-large"));
    for (const data of ["no JSON", "null", "[]", '{"delta":"x"}'])
      assert.throws(() => new ChunkDecoder().decode(data), code("invalid-chunk"));
    const piece = JSON.stringify({ type: "tinistreamer-piece", delta: "x".repeat(100_000) });
    const decoder = new ChunkDecoder();
    const endless = () => {
      for (;;) decoder.decode(piece);
    };
    assert.throws(endless, code("chunk-too-large"));
  });
});

describe("messages", () => {
  const tool = { type: "tool-ask" as const, toolCallId: "a", input: { q: 1 } };
  const message: UIMessage = {
    id: "m",
    role: "assistant",
    metadata: { model: "x" },
    parts: [
      { type: "step-start" },
      { type: "reasoning", text: "Hm", state: "done", providerMetadata: { p: { s: "1" } } },
      { type: "text", text: "a 🦀", state: "done" },
      { type: "text", text: "not en", state: "streaming" },
      { ...tool, state: "output-available", output: { a: [1] }, providerExecuted: true },
      { ...tool, toolCallId: "b", state: "output-error", errorText: "no" },
      { ...tool, toolCallId: "c", state: "input-available", title: "Ask" },
      {
        type: "dynamic-tool",
        toolName: "other",
        toolCallId: "d",
        state: "approval-requested",
        input: {},
        approval: { id: "approval" },
      },
      {
        type: "tool-ask",
        toolCallId: "e",
        state: "output-denied",
        input: 1,
        approval: { id: "2" },
      },
      { type: "file", mediaType: "image/png", url: "data:," },
      { type: "source-url", sourceId: "s", url: "https://example.com", title: "t" },
      { type: "source-document", sourceId: "d", mediaType: "text/plain", title: "t" },
      { type: "data-note", id: "n", data: { x: 1 } },
    ] as UIMessage["parts"],
  };

  test("a message becomes chunks, and they become the same message", async () => {
    const chunks = chunksOfMessage(message);
    const again = await messageOf([{ type: "start", messageId: "m" }, ...chunks]);
    assert.deepEqual(again?.parts.map(essential), message.parts.map(essential));
    assert.deepEqual(again?.metadata, message.metadata);
  });

  test("a large message comes back from its events", () => {
    const large = { ...message, metadata: "🦀".repeat(200_000) };
    const decoder = new MessageDecoder();
    const found = encodeMessage(large).map((data) => decoder.decode(data));
    assert.deepEqual(found.at(-1), large);
    assert.ok(found.length > 2 && found.slice(0, -1).every((found) => found === undefined));
  });

  test("the assembled message is that of the chunks, without a copy for each delta", async () => {
    const chunks: UIMessageChunk[] = [
      { type: "start", messageId: "m" },
      { type: "text-start", id: "0" },
      { type: "text-start", id: "1" },
      ..."interleaved".split("").map((text) => delta(text)),
      { type: "text-delta", id: "1", delta: "x" },
      { type: "text-delta", id: "1", delta: "y", providerMetadata: { p: { s: "1" } } },
      delta("!"),
      { type: "text-end", id: "0" },
    ];
    const assembler = new Assembler(undefined);
    for (const chunk of chunks) assembler.add(chunk);
    assert.deepEqual(await assembler.end(), { message: await messageOf(chunks) });
  });

  test("a chunk that does not belong to the message is an error, and the message stays", async () => {
    const assembler = new Assembler(message);
    assembler.add({ type: "text-start", id: "0" });
    assembler.add(delta("so far"));
    assembler.add({ type: "text-delta", id: "unknown", delta: "?" });
    assembler.add({ type: "text-end", id: "0" });
    const { message: found, error } = await assembler.end();
    assert.match(String(error), /text-delta/);
    assert.equal(found?.parts.length, message.parts.length + 1);
    assert.equal(message.parts.length, 13, "the given message is not changed");
  });
});

describe("an answer that is piped", () => {
  /** A writer that stores so many events, and then was stopped. */
  const makeWriter = (capacity: number) => {
    const halt = new AbortController();
    const stored: string[] = [];
    const write = async (_: string, data: string) => {
      if (stored.length === capacity) halt.abort(new StoppedError("ann", capacity));
      halt.signal.throwIfAborted();
      stored.push(data);
    };
    return { stored, writer: { signal: halt.signal, write } as unknown as Writer };
  };
  const source = (chunks: UIMessageChunk[]) => {
    const cancelled: unknown[] = [];
    const stream = new ReadableStream<UIMessageChunk>({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(chunk);
      },
      cancel: (reason) => void cancelled.push(reason),
    });
    return { stream, cancelled };
  };
  const chunks: UIMessageChunk[] = [
    { type: "text-start", id: "0" },
    ...["a", "b", "c", "d"].map((text) => delta(text)),
  ];

  test("the message is what was stored, and the source is cancelled", async () => {
    const { writer, stored } = makeWriter(4);
    const { stream, cancelled } = source(chunks);
    const piped = await pipeUIMessageStream(writer, stream, { messageId: "m" });
    assert.equal(piped.status, "stopped");
    assert.deepEqual(stored.map((data) => JSON.parse(data).type).slice(0, 2), [
      "start",
      "text-start",
    ]);
    assert.deepEqual(piped.message?.parts.map(essential), [
      { type: "text", text: "ab", state: "streaming" },
    ]);
    assert.equal((cancelled[0] as Error).name, "AbortError");
  });

  test("a stop before the first chunk cancels the source, too", async () => {
    const { writer, stored } = makeWriter(0);
    const { stream, cancelled } = source(chunks);
    const before = { id: "m", role: "assistant", parts: [] } as UIMessage;
    const piped = await pipeUIMessageStream(writer, stream, { messages: [before] });
    assert.deepEqual(piped, { status: "stopped", message: undefined });
    assert.deepEqual([stored.length, cancelled.length], [0, 1]);
  });

  test("an error chunk is not stored, and what follows is", async () => {
    const { writer, stored } = makeWriter(100);
    const errors: UIMessageChunk[] = ["first", "second"].map((errorText) => ({
      type: "error",
      errorText,
    }));
    const all: UIMessageChunk[] = [...chunks, ...errors, { type: "text-end", id: "0" }];
    const stream = new ReadableStream<UIMessageChunk>({
      start(controller) {
        for (const chunk of all) controller.enqueue(chunk);
        controller.close();
      },
    });
    const piped = await pipeUIMessageStream(writer, stream);
    assert.deepEqual([piped.status, piped.errorText], ["failed", "first"]);
    assert.deepEqual(piped.message?.parts.map(essential), [
      { type: "text", text: "abcd", state: "done" },
    ]);
    assert.ok(stored.every((data) => !data.includes("error")));
  });
});

test("parameters are added to any URL", () => {
  assert.equal(withQuery("/api/chat", { id: "a b" }), "/api/chat?id=a+b");
  assert.equal(withQuery("/api?x=1#top", { id: "1", no: undefined }), "/api?x=1&id=1#top");
  assert.equal(withQuery("https://h/api", { no: undefined }), "https://h/api");
});

test("the README shows the backend and the page of the example", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const example = new URL("../../../examples/nextjs-chat/app/", import.meta.url);
  for (const file of ["api/chat/route.ts", "chat.tsx"]) {
    const code = await readFile(new URL(file, example), "utf8");
    assert.ok(readme.includes(`\n${code}\`\`\``), file);
    assert.ok(code.trimEnd().split("\n").length <= 20, `${file} has at most 20 lines`);
  }
});
