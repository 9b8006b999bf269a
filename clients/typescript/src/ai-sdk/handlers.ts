import { generateId, type UIMessage } from "ai";
import { Client } from "../client.js";
import { ApiError, StoppedError } from "../errors.js";
import type { Access } from "../generated/openapi.js";
import type { Failure } from "../publish/options.js";
import type { Writer } from "../publish/writer.js";
import { TimedOut, withTimeout } from "../timeout.js";
import { ChatError } from "./errors.js";
import { openAnswer, type Place } from "./open.js";
import type { ChatContext, ChatHandlerOptions } from "./options.js";
import {
  answerSignal,
  continuedMessage,
  type PipedAnswer,
  type PipeOptions,
  pipeUIMessageStream,
} from "./pipe.js";
import { type ChatRequestBody, chatIdFrom, Refusal, readChatRequest } from "./request.js";

const STOPPED = { status: "stopped" } as const;
const DEFAULT_ERROR = "An error occurred.";
/** How long `onFinish` may take, in milliseconds. */
const MAX_SAVE = 60_000;

/** The handlers of one route, such as `/api/chat`. */
export interface ChatHandlers {
  /** Starts the answer to a message, and returns where it is. */
  POST: (request: Request) => Promise<Response>;
  /** Returns where the answer that is written now is, or 204. */
  GET: (request: Request) => Promise<Response>;
}

/**
 * The handlers of a chat whose answers go over the broker: `export const { GET, POST } = …` in a
 * route of Next.js, `(c) => chat.POST(c.req.raw)` in Hono, and with `toNodeHandler` in Express.
 *
 * A chat has one answer at a time. The handler writes it to its end, also when nobody reads it any
 * more, and stops the model when somebody asks for it.
 */
export function createChatHandlers<M extends UIMessage = UIMessage>(
  options: ChatHandlerOptions<M>,
): ChatHandlers {
  const chat = new ChatBackend(options);
  return {
    POST: (request) => chat.respond(() => chat.post(request)),
    GET: (request) => chat.respond(() => chat.get(request)),
  };
}

class ChatBackend<M extends UIMessage> {
  readonly #options: ChatHandlerOptions<M>;
  #client: Client | undefined;

  constructor(options: ChatHandlerOptions<M>) {
    this.#options = options;
    this.#client = options.client;
  }

  async respond(work: () => Promise<Response>): Promise<Response> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof Refusal) return error.response();
      return new Refusal(500, this.#errorText(error)).response();
    }
  }

  async post(request: Request): Promise<Response> {
    const { maxBodyBytes = 10 * 1024 * 1024, waitUntil } = this.#options;
    const body = await readChatRequest<M>(request, maxBodyBytes);
    const context = { request, chatId: body.id };
    const place = await this.#authorized(context);
    if (place instanceof Response) return place;
    const { access, isNew } = await openAnswer(place, {
      ...this.#options,
      requestId: body.requestId,
    });
    if (isNew) {
      const work = this.#write(access, place, context, body);
      waitUntil?.(work);
    }
    return accessResponse(access);
  }

  async get(request: Request): Promise<Response> {
    const query = new URL(request.url).searchParams;
    const place = await this.#authorized({ request, chatId: chatIdFrom(query.get("id")) });
    if (place instanceof Response) return place;
    const access = await this.#find(place, query.get("generation"));
    return access ? accessResponse(access) : new Response(null, { status: 204 });
  }

  /** Where the stream of this chat is, or the response that refuses. */
  async #authorized(context: ChatContext): Promise<Place | Response> {
    const { authorize, keyPrefix = "chat:", url = "", apiKey = "" } = this.#options;
    const key = `${keyPrefix}${context.chatId}`;
    if (new TextEncoder().encode(key).length > 256 || /\p{Cc}/u.test(key))
      throw new Refusal(400, "The id of the chat is too long, or has control characters");
    const subject = await authorize(context);
    if (subject instanceof Response) return subject;
    this.#client ??= new Client({ url, apiKey });
    const client = this.#client;
    return { client, key, token: { permissions: ["read", "signal"], subject } };
  }

  /** An access to the active stream, or to the stream of this generation. */
  async #find(
    { client, key, token }: Place,
    generation: string | null,
  ): Promise<Access | undefined> {
    try {
      if (generation === null && (await client.streamInfo(key)).status !== "active")
        return undefined;
      const { ttl } = this.#options.stream ?? {};
      const access = await client.issueToken(key, { ...token, ...(ttl ? { ttl } : {}) });
      return generation === null || access.generation === generation ? access : undefined;
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** Writes an answer to its end. The result never rejects. */
  async #write(
    { generation }: Access,
    { client, key, token: { subject } }: Place,
    context: ChatContext,
    { messages, trigger, rest }: ChatRequestBody<M>,
  ): Promise<void> {
    const { answer, lease } = this.#options;
    const messageId = continuedMessage(messages)?.id ?? generateId();
    const about = { ...context, messages, trigger, body: rest, subject, messageId };
    const write = async (writer: Writer) => {
      const { signal, release } = answerSignal(writer);
      const start = () => answer({ ...about, signal });
      const piped = await pipeFrom(writer, start, { messages, messageId, signal });
      release();
      await this.#save(piped, about).catch((error) => {
        // The writer reports the error of a save, but not after a stop.
        if (piped.status === "stopped") this.#errorText(error);
        if (piped.error !== undefined) this.#errorText(piped.error);
        throw error;
      });
      if (piped.error !== undefined) throw piped.error;
      if (piped.errorText !== undefined) await writer.fail(failureOf(piped.errorText));
    };
    let isReported = false;
    const failure = (error: unknown) => {
      isReported = true;
      return failureOf(this.#errorText(error));
    };
    try {
      await client.publish(key, write, { generation, lease, failure });
    } catch (error) {
      if (!isReported) this.#errorText(error);
    }
  }

  async #save(piped: PipedAnswer<M>, about: ChatContext & { messages: M[]; subject: string }) {
    const { onFinish } = this.#options;
    if (!onFinish) return;
    const { chatId, subject } = about;
    const { message } = piped;
    const before = continuedMessage(about.messages) ? about.messages.slice(0, -1) : about.messages;
    const messages = message ? [...before, message] : about.messages;
    const saved = Promise.resolve({ ...piped, chatId, subject, messages }).then(onFinish);
    const never = new AbortController().signal;
    await withTimeout<void>(MAX_SAVE, never, (resolve, reject) => {
      saved.then(resolve, reject);
    }).catch((error) => {
      if (!(error instanceof TimedOut)) throw error;
      throw new ChatError("save-timeout", `onFinish took longer than ${MAX_SAVE} ms`, error);
    });
  }

  /** Reports the error. Returns what the page may see of it. */
  #errorText(error: unknown): string {
    const { onError } = this.#options;
    if (!onError) console.error(error);
    return onError?.(error) ?? DEFAULT_ERROR;
  }
}

/** Starts the model, and writes its stream. Throws no error. */
async function pipeFrom<M extends UIMessage>(
  writer: Writer,
  start: () => ReturnType<ChatHandlerOptions<M>["answer"]>,
  options: PipeOptions<M>,
): Promise<PipedAnswer<M>> {
  try {
    return await pipeUIMessageStream(writer, await start(), options);
  } catch (error) {
    const isStopped = writer.signal.reason instanceof StoppedError;
    return { message: undefined, ...(isStopped ? STOPPED : { status: "failed", error }) };
  }
}

/** What subscribers get. The broker takes a message of at most 1 KiB. */
function failureOf(text: string): Failure {
  const bytes = new TextEncoder().encode(text).subarray(0, 1024);
  // `stream` leaves out a character that is cut.
  return { code: "error", message: new TextDecoder().decode(bytes, { stream: true }) };
}

function accessResponse({ sse_url, token, generation }: Access): Response {
  return new Response(JSON.stringify({ sse_url, token, generation }), {
    headers: { "Content-Type": "application/json", "Cache-Control": "no-store" },
  });
}
