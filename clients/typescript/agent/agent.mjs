// The agent of this client library for tests/clients. The README there describes what it reads and
// writes. Run it after `npm run build`.

import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "tinistreamer";
import { subscribe, subscribeMany } from "tinistreamer/subscribe";
import { WebSocket } from "ws";

const input = lines(process.stdin.setEncoding("utf8"));
const report = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const failed = ({ code, message, status, streamStatus }) =>
  report({ type: "failed", code, message, status, stream_status: streamStatus });

/** Splits at line feeds only. `node:readline` also splits at U+2028, which JSON does not escape. */
async function* lines(chunks) {
  let begun = "";
  for await (const chunk of chunks) {
    const [first, ...more] = chunk.split("\n");
    begun += first;
    for (const next of more) {
      yield begun;
      begun = next;
    }
  }
}

/** The next line of the input, or undefined at its end. */
async function nextMessage() {
  const { done, value } = await input.next();
  return done ? undefined : JSON.parse(value);
}

async function runSubscribe(job) {
  let take;
  const request = (type) => () => {
    report({ type });
    return new Promise((resolve) => {
      take = resolve;
    });
  };
  const way = job.access
    ? {
        access: request("access-wanted"),
        ...(job.token ? { url: job.url, token: job.token } : {}),
      }
    : { url: job.url, token: job.token ?? request("token-wanted") };
  const options = {
    ...way,
    after: job.after,
    events: job.events ?? undefined,
    rollup: job.rollup ?? undefined,
    rollupPath: job.rollup_path ?? undefined,
    rollupMs: job.rollup_ms ?? undefined,
    from: job.from ?? undefined,
    wait: job.wait ?? undefined,
    silenceMs: job.silence_ms ?? undefined,
    giveUpAfterMs: job.give_up_after_ms ?? undefined,
    onConnection: job.connections
      ? ({ state, attempt, error, retryInMs }) => {
          const failed = error !== null;
          report({ type: "connection", state, attempt, failed, retry_in_ms: retryInMs });
        }
      : undefined,
    WebSocket,
  };
  const events = job.keys ? subscribeMany({ ...options, keys: job.keys }) : subscribe(options);
  const change = async (key, made, type) => {
    try {
      await made;
      report({ type, key });
    } catch (error) {
      if (error.name !== "RefusedError") throw error;
      report({ type: "refused", key, code: error.code });
    }
  };
  /** Sends a signal. With several streams the key comes first. */
  const signal = async (send) => {
    try {
      report({ type: "signalled", seq: await send });
    } catch (error) {
      if (error.code === undefined) throw error;
      report({ type: "signal-refused", code: error.code });
    }
  };
  let stopped = false;
  let answered = Promise.resolve();
  const listen = async () => {
    for (let line = await nextMessage(); line; line = await nextMessage()) {
      const { op, key, ...more } = line;
      // Not awaited, because a change may need a new token first.
      const answer = (work) => {
        answered = answered.then(work);
        answered.catch(crash);
      };
      if ("token" in line) take(line.token);
      if ("access" in line) take(line.access);
      const keyed = job.keys ? [key] : [];
      if (op === "request-stop") signal(events.requestStop(...keyed)).catch(crash);
      if (op === "signal") {
        signal(events.sendSignal(...keyed, line.name, line.data)).catch(crash);
      }
      if (op === "add") answer(() => change(key, events.add(key, more), "added"));
      if (op === "drop") answer(() => change(key, events.drop(key), "dropped"));
      if (op === "cursor") answer(() => report({ type: "cursor", cursor: events.cursor }));
      if (op === "stop") {
        stopped = true;
        await events.return();
      }
    }
  };
  listen().catch(crash);
  try {
    for await (const { key, id, event, data, missed, count } of events) {
      const several = count === 1 ? {} : { count };
      report(
        missed
          ? { type: "missed", key, ...missed }
          : { type: "event", key, id, event, data, ...several },
      );
      if (job.pause_ms) await new Promise((resolve) => setTimeout(resolve, job.pause_ms));
    }
    const end = job.keys
      ? { statuses: Object.fromEntries(events.statuses) }
      : { status: events.status, reason: events.reason };
    report(stopped ? { type: "stopped" } : { type: "finished", ...end });
  } catch (error) {
    failed(error);
  }
}

/** The code of a writer's block throws this to leave the block by an error. */
const raised = new Error("The job says so");

/** Yields the items with pauses, and then never ends. */
async function* endless(items, pauseMs) {
  for (const item of items) {
    yield item;
    await sleep(pauseMs ?? 0);
  }
  await new Promise(() => {});
}

/** Reports the signals of a writer until they are over. */
async function hear(writer) {
  report({ type: "hearing" });
  try {
    for await (const { seq, name, data, by } of writer.signals())
      report({ type: "signal", seq, name, data, by: by ?? null });
  } catch (error) {
    if (error.name !== "ApiError") throw error;
    console.error(error);
  }
  report({ type: "silent" });
}

/** Resolves when the library reports a stop. Throws when the writer has failed. */
async function awaitStop({ signal }) {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
  if (signal.reason.code !== "stopped") throw signal.reason;
  report({ type: "stop-heard" });
}

async function runPublish(job) {
  const client = new Client({ url: job.url, apiKey: job.api_key });
  const hearings = [];
  /** The error of the last step, which leaves the block. */
  let failure;
  /** Takes a step. Returns whether it was the last one. */
  const take = async (writer, step) => {
    switch (step.op) {
      case "write":
        await writer.write(step.event, step.data).catch((error) => {
          // With a cause the writer has failed. Without one it only refused this event.
          if (error.cause || !["reserved-event", "invalid-event"].includes(error.code)) throw error;
          failed(error);
        });
        return false;
      case "flush":
        await writer.flush();
        report({ type: "flushed" });
        return false;
      case "hear":
        hearings.push(hear(writer));
        return false;
      case "await-stop":
        await awaitStop(writer);
        return false;
      case "pipe":
        await writer.pipeFrom(endless(step.items, step.pause_ms), step.event);
        return false;
      case "raise":
        throw raised;
      case "leave":
        return true;
      default:
        await writer[step.op](step);
        return true;
    }
  };
  const write = async (writer) => {
    for (let step = await nextMessage(); step; step = await nextMessage()) {
      try {
        if (await take(writer, step)) return;
      } catch (error) {
        failure = { error, op: step.op };
        throw error;
      }
    }
  };
  try {
    await client.publish(job.key, write, {
      transport: job.transport ?? undefined,
      generation: job.generation ?? undefined,
      maxPending: job.max_pending ?? undefined,
      retryForMs: job.retry_for_ms ?? undefined,
      lease: job.lease_s ?? undefined,
      coalesceMs: job.coalesce_ms ?? undefined,
      writeAfterStop: job.write_after_stop ?? undefined,
      onAck: ({ count, lastId }) => report({ type: "ack", count, last_id: lastId }),
      WebSocket,
    });
  } catch (error) {
    failure ??= { error };
  }
  await Promise.all(hearings);
  const { error, op } = failure ?? {};
  if (!error || error === raised) report({ type: "done" });
  else if (error.code === "stopped" && (op === "write" || op === "pipe"))
    report({ type: "stopped", by: error.by });
  else failed(error);
}

async function runText({ url, token, allow_missed: allowMissed }) {
  const events = subscribe({ url, token, WebSocket });
  try {
    const text = await events.text({ allowMissed });
    report({ type: "text", text, missed: events.missed, status: events.status });
  } catch (error) {
    failed(error);
  }
}

async function runManage(job) {
  const client = new Client({ url: job.url, apiKey: job.api_key });
  const calls = {
    create_stream: ({ key, ...options }) => client.createStream(key, options),
    issue_token: ({ key, keys, prefix, ...options }) =>
      client.issueToken(key ?? (keys ? { keys } : { prefix }), options),
    list_streams: ({ pattern }) => client.listStreams(pattern),
    stream_info: ({ key }) => client.streamInfo(key),
    stream_events: ({ key }) => client.streamEvents(key),
    end_stream: ({ key, ...options }) => client.endStream(key, options),
    cancel_stream: ({ key, ...options }) => client.cancelStream(key, options),
    fail_stream: ({ key, ...options }) => client.failStream(key, options),
    send_signal: ({ key, name, ...options }) => client.sendSignal(key, name, options),
    renew_stream: ({ key, ...options }) => client.renewStream(key, options),
    read_signals: ({ key, after }) => client.readSignals(key, after),
    add_events: ({ key, events, ...options }) => client.addEvents(key, events, options),
    list_clients: (filter) => client.listClients(filter),
    disconnect_client: ({ id }) => client.disconnectClient(id),
    broker_info: () => client.brokerInfo(),
    ready: () => client.ready(),
  };
  for (let line = await nextMessage(); line; line = await nextMessage()) {
    try {
      report({ type: "result", value: await calls[line.call](line.args ?? {}) });
    } catch (error) {
      if (error.code === undefined) throw error;
      failed(error);
    }
  }
}

function crash(error) {
  console.error(error);
  process.exit(1);
}

const jobs = { subscribe: runSubscribe, publish: runPublish, manage: runManage, text: runText };
const job = await nextMessage();
await jobs[job.job](job).catch(crash);
// What else is open would be a defect, and keeps the process alive.
process.stdin.unref();
