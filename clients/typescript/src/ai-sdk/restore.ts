import type { UIMessage, UIMessageChunk } from "ai";

/** A part of a message, of any version of the AI SDK. */
type Part = { type: string; [member: string]: unknown };

/** A part that is a call of a tool. */
interface ToolPart extends Part {
  toolCallId: string;
  state: string;
}

/**
 * The chunks that make this message. An answer may continue a message, after a tool call. A page
 * that reads such an answer again has to get what was before, because the AI SDK begins with an
 * empty message. A tool that has a result does not run again.
 */
export function chunksOfMessage({ parts, metadata }: UIMessage): UIMessageChunk[] {
  const chunks = (parts as Part[]).flatMap((part, n) => chunksOfPart(part, `before-${n}`));
  if (metadata != null) chunks.unshift({ type: "message-metadata", messageMetadata: metadata });
  return chunks as UIMessageChunk[];
}

function chunksOfPart(part: Part, id: string): object[] {
  if (part.type === "step-start") return [{ type: "start-step" }];
  if (part.type === "text" || part.type === "reasoning") return chunksOfText(part, id);
  if (part.type === "dynamic-tool" || part.type.startsWith("tool-"))
    return chunksOfTool(part as ToolPart);
  // Files, sources and data: the chunk has the members of the part.
  return [part];
}

function chunksOfText({ type, text, state, providerMetadata }: Part, id: string): object[] {
  const more = given({ providerMetadata });
  return [
    { type: `${type}-start`, id, ...more },
    { type: `${type}-delta`, id, delta: text },
    ...(state === "streaming" ? [] : [{ type: `${type}-end`, id, ...more }]),
  ];
}

function chunksOfTool(part: ToolPart): object[] {
  const { toolCallId, providerExecuted, title, toolMetadata } = part;
  const isDynamic = part.type === "dynamic-tool";
  const call = {
    toolCallId,
    toolName: isDynamic ? part.toolName : part.type.slice("tool-".length),
    ...given({ providerExecuted, title, toolMetadata, dynamic: isDynamic || undefined }),
    ...given({ providerMetadata: part.callProviderMetadata }),
  };
  if (part.state === "input-available")
    return [{ type: "tool-input-available", ...call, input: part.input }];
  const input = part.state === "input-streaming" ? part.rawInput : JSON.stringify(part.input);
  // Not `tool-input-available`, because the AI SDK then calls the tool.
  return [
    { type: "tool-input-start", ...call },
    ...(input === undefined
      ? []
      : [{ type: "tool-input-delta", toolCallId, inputTextDelta: input }]),
    ...chunksOfApproval(part),
    ...chunksOfResult(part),
  ];
}

function chunksOfApproval({ toolCallId, approval }: ToolPart): object[] {
  if (typeof approval !== "object" || approval === null) return [];
  const { id: approvalId, approved, reason, ...more } = approval as Record<string, unknown>;
  const request = { type: "tool-approval-request", toolCallId, approvalId, ...more };
  // The AI SDK 6 has no such chunk, and ignores it.
  const response = { type: "tool-approval-response", approvalId, approved, ...given({ reason }) };
  return approved === undefined ? [request] : [request, response];
}

function chunksOfResult(part: ToolPart): object[] {
  const { toolCallId, state, output, errorText, preliminary, providerExecuted } = part;
  const providerMetadata = part.resultProviderMetadata;
  const more = { toolCallId, ...given({ preliminary, providerExecuted, providerMetadata }) };
  if (state === "output-available") return [{ type: "tool-output-available", output, ...more }];
  if (state === "output-error") return [{ type: "tool-output-error", errorText, ...more }];
  if (state === "output-denied") return [{ type: "tool-output-denied", toolCallId }];
  return [];
}

/** The members that have a value. */
function given(members: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value != null));
}
