import type { Client } from "../client.js";
import { ApiError } from "../errors.js";
import type { Access, Permission } from "../generated/openapi.js";
import { sleep } from "../timeout.js";
import type { ChatHandlerOptions } from "./options.js";
import { Refusal } from "./request.js";
import { CLAIM_EVENT } from "./wire.js";

/** How long a new message waits until the answer before it is finished, in milliseconds. */
const MAX_WAIT = 30_000;
/** How long to wait between two looks at that answer, in milliseconds. */
const PAUSE = 200;

/** The stream of a chat, and what its tokens permit. */
export interface Place {
  client: Client;
  key: string;
  token: { permissions: Permission[]; subject: string };
}

/** How to open an answer. */
export interface OpenOptions
  extends Pick<ChatHandlerOptions<never>, "whileRunning" | "lease" | "stream"> {
  /** Identifies the request, also when it is repeated. */
  requestId: string | undefined;
}

/**
 * Creates the stream of an answer. `isNew` says that the caller has to write it: of several
 * requests with the same id, one gets true. Stops an answer that is written already, or throws a
 * `Refusal` 409.
 */
export async function openAnswer(
  place: Place,
  options: OpenOptions,
): Promise<{ access: Access; isNew: boolean }> {
  const giveUp = AbortSignal.timeout(MAX_WAIT);
  for (;;) {
    const access = await create(place, options);
    if (access.created) return { access, isNew: await claim(place, access) };
    if (options.whileRunning === "reject")
      throw new Refusal(409, "The answer to an earlier message is still written");
    await stopOther(place, access, giveUp);
  }
}

function create({ client, key, token }: Place, options: OpenOptions): Promise<Access> {
  const { lease = 30, stream, requestId: request_id } = options;
  const whatIfTaken = { if_exists: "attach", if_finished: "replace" } as const;
  return client.createStream(key, { ...stream, ...token, ...whatIfTaken, lease, request_id });
}

/**
 * The broker creates a stream once for all requests with the same id, and answers each that it was
 * the one. It stores the first event of a producer once, too, and says so.
 */
async function claim({ client, key }: Place, { generation }: Access): Promise<boolean> {
  const producer = { producer: CLAIM_EVENT, sequence: 0, generation: generation ?? null };
  try {
    return (await client.addEvents(key, [{ event: CLAIM_EVENT }], producer)).num_events === 1;
  } catch (error) {
    // The answer is finished already.
    if (error instanceof ApiError && error.streamStatus !== undefined) return false;
    throw error;
  }
}

/** Stops the answer that is written now, and waits until it is finished. */
async function stopOther(
  { client, key }: Place,
  { generation }: Access,
  giveUp: AbortSignal,
): Promise<void> {
  try {
    await client.sendSignal(key, "stop", { generation, signal: giveUp });
    for (;;) {
      const info = await client.streamInfo(key, { signal: giveUp });
      if (info.status !== "active" || info.generation !== generation) return;
      await sleep(PAUSE, giveUp);
    }
  } catch (error) {
    if (giveUp.aborted) throw new Refusal(409, "The answer to an earlier message does not stop");
    // It was finished meanwhile, or another answer follows it.
    const isOver = error instanceof ApiError && (error.status === 404 || error.status === 409);
    if (!isOver) throw error;
  }
}
