import { ApiError } from "../errors.js";
import type { ConnectionChange } from "../subscribe/connection-reporter.js";
import type { EventFields, FinalStatus } from "../subscribe/event.js";
import type { StreamReason } from "../subscribe/reason.js";

/**
 * A position in a stream: the id of the last event, or what a `missedevents` says about the next
 * one. Null at a start position, until the first event. Two tabs at one position receive the same
 * events next. So a step is valid in each tab that is at the position before it.
 */
export type Position = string | null;

/** One step forward in a stream. */
export interface Step {
  before: Position;
  after: Position;
  /** The id of the last event that was received or filtered. */
  lastId: string | null;
  /** Null when only filtered events were passed, and at the end. */
  event: EventFields | null;
  /** Whether nothing follows. */
  isEnd: boolean;
  /** How the stream was finished, if that is known. */
  status: FinalStatus | null;
  reason: StreamReason | null;
}

/** A change of the leading tab's connection, as another tab can receive it. */
export interface SharedChange extends Omit<ConnectionChange, "attempt" | "error" | "state"> {
  state: Exclude<ConnectionChange["state"], "closed">;
  error: SharedError | null;
}

/** The parts of an error. A channel between tabs does not keep the class of an error. */
interface SharedError {
  name: string;
  message: string;
  code: string | undefined;
  status: number | undefined;
}

/**
 * What tabs send each other. `hello`: the sender wants the leading tab's position. `here`: the
 * sender listens. The others come from the leading tab. `disconnected`: an operator has
 * disconnected it.
 */
export type Content =
  | { kind: "hello" | "here" }
  | { kind: "position"; position: Position; isOpen: boolean }
  | { kind: "step"; step: Step }
  | { kind: "connection"; change: SharedChange }
  | { kind: "disconnected"; message: string };

/** A message from one tab to all others of its group. */
export type Message = Content & { from: string };

/** The parts of an error that a channel can carry. */
export function toShared(error: unknown): SharedError | null {
  if (error === null) return null;
  const { name = "Error", message = String(error), code, status } = error as Partial<SharedError>;
  return { name, message, code, status };
}

/** The error that the leading tab had. */
export function fromShared(error: SharedError | null): unknown {
  if (error === null) return null;
  const { name, message, code, status } = error;
  if (status !== undefined) return new ApiError({ status, code: code ?? "", message });
  return Object.assign(new Error(message), { name }, code === undefined ? {} : { code });
}
