import {
  type ChatTransport,
  HttpChatTransport,
  type HttpChatTransportInitOptions,
  type PrepareReconnectToStreamRequest,
  type UIMessage,
  type UIMessageChunk,
} from "ai";
import { type Log, logTo, type OnLog } from "../log.js";
import { randomName } from "../random.js";
import type { SubscribeOptions, Subscription } from "../subscribe/subscription.js";
import { subscribe } from "../subscribe.js";
import { accessFrom, type ChatAccess, within, withQuery } from "./access.js";
import { readChunks } from "./chunks.js";
import { ChatError } from "./errors.js";
import { ROLLUP } from "./wire.js";

/** How to reach the backend, and how to follow its answers. */
export interface BrokerChatTransportOptions<M extends UIMessage>
  extends HttpChatTransportInitOptions<M> {
  /**
   * Whether an abort asks the model to stop. `useChat().stop()` aborts, and so does the `useChat`
   * of `@ai-sdk/react` 4 when its component is unmounted. True. With false, an abort only closes
   * the connection, and `requestStop` asks the model.
   */
  stopOnAbort?: boolean | undefined;
  /** How long the backend may take to answer, in milliseconds. 60,000. */
  timeoutMs?: number | undefined;
  /** How to follow the stream, for example `silenceMs`, `giveUpAfterMs` or `onConnection`. */
  subscribe?: FollowSettings | undefined;
  /** Called for each log entry: reconnects, and stops that did not reach the broker. */
  onLog?: OnLog | undefined;
}

/** The options of `subscribe` that do not change what comes. */
export type FollowSettings = Pick<
  SubscribeOptions,
  "clientName" | "tags" | "silenceMs" | "giveUpAfterMs" | "onConnection" | "fetch"
>;

type SendOptions<M extends UIMessage> = Parameters<ChatTransport<M>["sendMessages"]>[0];
type ReconnectOptions<M extends UIMessage> = Parameters<ChatTransport<M>["reconnectToStream"]>[0];

/** What each request for an access repeats. */
type ChatRequest = Pick<ReconnectOptions<UIMessage>, "chatId" | "headers" | "body" | "metadata">;

/** What a request for an access needs beside the caller's `metadata`. */
interface AccessRequest {
  metadata: unknown;
  /** The stream that is followed already. Without it, the one that is written now. */
  generation?: string | undefined;
}

/**
 * A `ChatTransport` of the AI SDK whose answers come from the broker. The backend starts an answer
 * and returns `{ sse_url, token }`, as the handlers of `tinistreamer/ai-sdk/server` do. An answer
 * survives broken connections and reloads.
 *
 * The streams that it returns fail with a `SubscribeError` when the answer breaks off, with an
 * `ApiError` when the broker refuses, and with a `ChatError` when the backend can't give access.
 */
export class BrokerChatTransport<M extends UIMessage = UIMessage> extends HttpChatTransport<M> {
  /** For the AI SDK: `reconnectToStream` returns the answer from its beginning. */
  readonly resumeStreamIsReplay = true;
  readonly #stopOnAbort: boolean;
  readonly #timeoutMs: number;
  readonly #follow: FollowSettings;
  readonly #onLog: OnLog | undefined;
  readonly #log: Log;
  /** The answers that are followed, by chat. The newest of a chat counts. */
  readonly #followed = new Map<string, Subscription>();
  /** Stops that begin when the current task is over, by chat. */
  readonly #stopping = new Map<string, ReturnType<typeof setTimeout>>();

  constructor(options: BrokerChatTransportOptions<M> = {}) {
    const { stopOnAbort = true, timeoutMs = 60_000, onLog, ...http } = options;
    const { subscribe: follow = {}, ...rest } = http;
    super({
      ...rest,
      prepareReconnectToStreamRequest: prepared(options.prepareReconnectToStreamRequest),
    });
    this.#stopOnAbort = stopOnAbort;
    this.#timeoutMs = timeoutMs;
    this.#follow = follow;
    this.#onLog = onLog;
    this.#log = logTo(onLog);
  }

  /**
   * Sends the messages to the backend, and returns the chunks of the answer. The request has a
   * `requestId`, so that the backend starts the model once if the request is repeated.
   */
  override async sendMessages(options: SendOptions<M>): Promise<ReadableStream<UIMessageChunk>> {
    const { abortSignal } = options;
    abortSignal?.throwIfAborted();
    // An abort does not cut this request: the model may run already, and only its answer says
    // where it can be stopped.
    const pending = within(this.#timeoutMs, undefined, (signal) =>
      super
        .sendMessages({
          ...options,
          body: { ...options.body, requestId: randomName() },
          abortSignal: signal,
        })
        .then(accessFrom),
    );
    const request = requestOf(options);
    const follow = (access: ChatAccess) => this.#open(access, request, false, abortSignal);
    if (!abortSignal) return follow(await pending);
    return new Promise((resolve, reject) => {
      const aborted = () => {
        reject(abortSignal.reason);
        if (this.#stopOnAbort) this.#stopLate(pending, request);
      };
      abortSignal.addEventListener("abort", aborted, { once: true });
      pending
        .finally(() => abortSignal.removeEventListener("abort", aborted))
        .then((access) => {
          if (!abortSignal.aborted) resolve(follow(access));
        })
        .catch(reject);
    });
  }

  /**
   * The chunks of the answer that is written now, from its first one on. Consecutive deltas of a
   * part come as one. Null when no answer is written.
   */
  override async reconnectToStream(
    options: ReconnectOptions<M>,
  ): Promise<ReadableStream<UIMessageChunk> | null> {
    // The AI SDK aborts a resumed stream when it resumes once more. That is no stop.
    clearTimeout(this.#stopping.get(options.chatId));
    this.#stopping.delete(options.chatId);
    const request = requestOf(options);
    const access = await this.#requestAccess(request, undefined, options.abortSignal);
    if (!access) return null;
    options.abortSignal?.throwIfAborted();
    return this.#open(access, request, true, options.abortSignal);
  }

  /**
   * Asks the model of this chat to stop, also when this page does not follow the answer. The
   * answer then ends with what was written. It is a success when no answer is written.
   */
  async requestStop(chatId: string): Promise<void> {
    const followed = this.#followed.get(chatId);
    if (followed) {
      await followed.requestStop();
      return;
    }
    const access = await this.#requestAccess({ chatId }, undefined, undefined);
    if (access) await this.#subscribe(access, { chatId }, undefined).requestStop();
  }

  /** Returns the body as it is. `accessFrom` reads it. */
  protected override processResponseStream(
    stream: ReadableStream<Uint8Array>,
  ): ReadableStream<UIMessageChunk> {
    return stream as unknown as ReadableStream<UIMessageChunk>;
  }

  #open(
    access: ChatAccess,
    request: ChatRequest,
    isReplay: boolean,
    abortSignal: AbortSignal | undefined,
  ): ReadableStream<UIMessageChunk> {
    const { chatId } = request;
    const subscription = this.#subscribe(access, request, abortSignal);
    const aborted = () => {
      if (this.#stopOnAbort) this.#stopSoon(chatId, subscription);
    };
    abortSignal?.addEventListener("abort", aborted, { once: true });
    this.#followed.set(chatId, subscription);
    return readChunks(subscription, isReplay, () => {
      if (!abortSignal?.aborted) abortSignal?.removeEventListener("abort", aborted);
      if (this.#followed.get(chatId) === subscription) this.#followed.delete(chatId);
    });
  }

  #subscribe(
    { sse_url: url, token, generation }: ChatAccess,
    request: ChatRequest,
    signal: AbortSignal | undefined,
  ): Subscription {
    const access = async () => {
      const found = await this.#requestAccess(request, generation, undefined);
      if (found) return found;
      throw new ChatError("answer-gone", "The backend gives no access to the answer any more");
    };
    const onLog = this.#onLog;
    return subscribe({ ...this.#follow, ...ROLLUP, url, token, access, signal, onLog });
  }

  /** Asks the backend for an access. Undefined when there is no such answer. */
  async #requestAccess(
    request: ChatRequest,
    generation: string | undefined,
    abortSignal: AbortSignal | undefined,
  ): Promise<ChatAccess | undefined> {
    const metadata: AccessRequest = { metadata: request.metadata, generation };
    return within(this.#timeoutMs, abortSignal, async (signal) => {
      const body = await super.reconnectToStream({ ...request, metadata, abortSignal: signal });
      return body ? accessFrom(body) : undefined;
    });
  }

  /** Asks the model to stop, unless the AI SDK resumes the stream in the current task. */
  #stopSoon(chatId: string, subscription: Subscription): void {
    clearTimeout(this.#stopping.get(chatId));
    const stop = () => {
      this.#stopping.delete(chatId);
      this.#logged(subscription.requestStop());
    };
    this.#stopping.set(chatId, setTimeout(stop, 0));
  }

  /** The page was stopped before the backend answered. */
  #stopLate(pending: Promise<ChatAccess>, request: ChatRequest): void {
    const stop = async (access: ChatAccess) => {
      await this.#subscribe(access, request, undefined).requestStop();
    };
    // An error of `pending` says that no model runs, or that nobody knows how to reach it.
    this.#logged(pending.then(stop));
  }

  #logged(work: Promise<unknown>): void {
    work.catch((error) => this.#log("warn", "The model could not be asked to stop", error));
  }
}

function requestOf({ chatId, headers, body, metadata }: ChatRequest): ChatRequest {
  return {
    chatId,
    metadata,
    ...(headers === undefined ? {} : { headers }),
    ...(body === undefined ? {} : { body }),
  };
}

/** Adds what this transport needs to the caller's function. */
function prepared(
  own: PrepareReconnectToStreamRequest | undefined,
): PrepareReconnectToStreamRequest {
  return async ({ requestMetadata, ...request }) => {
    const { metadata, generation } = requestMetadata as AccessRequest;
    const given = await own?.({ ...request, requestMetadata: metadata });
    const api = given?.api ?? withQuery(request.api, { id: request.id });
    return { ...given, api: withQuery(api, { generation }) };
  };
}
