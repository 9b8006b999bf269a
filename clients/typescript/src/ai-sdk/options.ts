import type { UIMessage, UIMessageChunk } from "ai";
import type { Client } from "../client.js";
import type { StreamOptions } from "../client-options.js";
import type { PipedAnswer } from "./pipe.js";

/** What a request is about. */
export interface ChatContext {
  request: Request;
  chatId: string;
}

/** What a model needs for its answer. */
export interface AnswerContext<M extends UIMessage> extends ChatContext {
  /** The messages that the page sent, not checked. The last one is the one to answer. */
  messages: M[];
  trigger: "submit-message" | "regenerate-message";
  /** The other members of the request's body, not checked. */
  body: Record<string, unknown>;
  /** What `authorize` returned. */
  subject: string;
  /** The id that the answer's message gets, unless the stream has another one. */
  messageId: string;
  /** Aborted when the answer is stopped. Give it to the model. */
  signal: AbortSignal;
}

/** An answer, to save it. */
export interface FinishedAnswer<M extends UIMessage> extends PipedAnswer<M> {
  chatId: string;
  subject: string;
  /** The messages of the request, with the answer. */
  messages: M[];
}

/** How a backend answers chats. */
export interface ChatHandlerOptions<M extends UIMessage> {
  /** The broker's URL. The handlers need it at the first request, and not while Next.js builds. */
  url?: string | URL | undefined;
  /** One of the broker's API keys. */
  apiKey?: string | undefined;
  /** A client, instead of `url` and `apiKey`. */
  client?: Client | undefined;
  /**
   * Says who may use the chat: returns the name of the user, 1 to 128 bytes, or a response that
   * refuses. The broker reports that name when this user stops an answer.
   */
  authorize: (context: ChatContext) => string | Response | Promise<string | Response>;
  /** Starts the model, and returns its stream, such as `streamText(…).toUIMessageStream()`. */
  answer: (
    context: AnswerContext<M>,
  ) => ReadableStream<UIMessageChunk> | Promise<ReadableStream<UIMessageChunk>>;
  /**
   * Called once for each answer, also when it was stopped or broke off. The stream is finished
   * afterwards, so a page that is reloaded then finds the answer saved. At most a minute.
   */
  onFinish?: ((answer: FinishedAnswer<M>) => void | Promise<void>) | undefined;
  /**
   * Called with each error that breaks an answer off, or keeps one from starting. Returns the text
   * that the page shows. `An error occurred.`
   */
  onError?: ((error: unknown) => string | undefined) | undefined;
  /**
   * What to do about a message that comes while an answer of the chat is written. `stop`, the
   * default, stops that answer, waits until it is saved, and answers the new message. `reject`
   * refuses the message with 409.
   */
  whileRunning?: "stop" | "reject" | undefined;
  /**
   * Keeps the process alive until an answer is finished: `after` of Next.js, `waitUntil` of
   * Cloudflare or Vercel. Programs that do not stop by themselves need none.
   */
  waitUntil?: ((work: Promise<void>) => void) | undefined;
  /** The beginning of the keys of the streams. The chat's id follows. `chat:`. */
  keyPrefix?: string | undefined;
  /** After how many seconds of silence the broker abandons an answer: 2 to 86,400. 30. */
  lease?: number | undefined;
  /**
   * Options of the streams. `stall` bounds the time that the model may be silent. `ttl` is how many
   * seconds an answer can be read after its last chunk, and how long a page's token is valid. The
   * page asks for another token by itself.
   */
  stream?: Pick<StreamOptions, "ttl" | "max_events" | "stall" | "stop_grace"> | undefined;
  /** The most bytes of a request. 10 MiB. */
  maxBodyBytes?: number | undefined;
}
