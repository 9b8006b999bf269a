import type { UIMessage } from "ai";

/** What a page sends. */
export interface ChatRequestBody<M extends UIMessage> {
  /** The id of the chat. */
  id: string;
  messages: M[];
  trigger: "submit-message" | "regenerate-message";
  /** Identifies the request, also when it is repeated. */
  requestId: string | undefined;
  /** The other members, such as those of the option `body` of the page's transport. */
  rest: Record<string, unknown>;
}

/** A request that the handlers refuse. The message is for the page. */
export class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }

  /** Plain text, because the AI SDK makes the text the message of its error. */
  response(): Response {
    return new Response(this.message, {
      status: this.status,
      headers: { "Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store" },
    });
  }
}

/** Reads the body of at most so many bytes. Throws a `Refusal`. The messages are not checked. */
export async function readChatRequest<M extends UIMessage>(
  request: Request,
  maxBytes: number,
): Promise<ChatRequestBody<M>> {
  const body = parse(await readText(request, maxBytes));
  const { id, messages, trigger, requestId, ...rest } = body;
  if (!Array.isArray(messages) || !messages.every((message) => typeof message?.role === "string"))
    throw new Refusal(400, "The request has no messages");
  return {
    id: chatIdFrom(id),
    messages,
    trigger: trigger === "regenerate-message" ? trigger : "submit-message",
    requestId: isRequestId(requestId) ? requestId : undefined,
    rest,
  };
}

function isRequestId(id: unknown): id is string {
  return typeof id === "string" && /^[\w-]{1,64}$/.test(id);
}

/** Checks the id of a chat. */
export function chatIdFrom(id: unknown): string {
  if (typeof id !== "string" || id === "") throw new Refusal(400, "The request has no chat id");
  return id;
}

function parse(text: string): Record<string, unknown> {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body !== null) return body as Record<string, unknown>;
  } catch {
    // The refusal says it.
  }
  throw new Refusal(400, "The body is not a JSON object");
}

async function readText(request: Request, maxBytes: number): Promise<string> {
  const decoder = new TextDecoder();
  const reader = request.body?.getReader();
  let [text, length] = ["", 0];
  while (reader) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.byteLength;
    if (length > maxBytes) {
      await reader.cancel();
      throw new Refusal(413, `The body has more than ${maxBytes} bytes`);
    }
    text += decoder.decode(value, { stream: true });
  }
  return text + decoder.decode();
}
