// The agent of this client library for tests/clients. The README there describes what it reads and
// writes. Run it after `npm run build`.

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
  let takeToken;
  const requestToken = () => {
    report({ type: "token-wanted" });
    return new Promise((resolve) => {
      takeToken = resolve;
    });
  };
  const options = {
    url: job.url,
    token: job.token ?? requestToken,
    after: job.after,
    events: job.events ?? undefined,
    from: job.from ?? undefined,
    wait: job.wait ?? undefined,
    silenceMs: job.silence_ms ?? undefined,
    giveUpAfterMs: job.give_up_after_ms ?? undefined,
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
      if ("token" in line) takeToken(line.token);
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
    for await (const { key, id, event, data, missed } of events) {
      report(missed ? { type: "missed", key, ...missed } : { type: "event", key, id, event, data });
      if (job.pause_ms) await new Promise((resolve) => setTimeout(resolve, job.pause_ms));
    }
    const end = job.keys
      ? { statuses: Object.fromEntries(events.statuses) }
      : { status: events.status };
    report(stopped ? { type: "stopped" } : { type: "finished", ...end });
  } catch (error) {
    failed(error);
  }
}

/** The code of a writer's block throws this to leave the block by an error. */
const raised = new Error("The job says so");

async function runPublish(job) {
  const client = new Client({ url: job.url, apiKey: job.api_key });
  const write = async (writer) => {
    for (let step = await nextMessage(); step; step = await nextMessage()) {
      switch (step.op) {
        case "write":
          await writer.write(step.event, step.data).catch((error) => {
            // With a cause the writer has failed. Without one it only refused this event.
            if (error.cause || !["reserved-event", "invalid-event"].includes(error.code))
              throw error;
            failed(error);
          });
          break;
        case "flush":
          await writer.flush();
          report({ type: "flushed" });
          break;
        case "raise":
          throw raised;
        case "leave":
          return;
        default:
          await writer[step.op]();
          return;
      }
    }
  };
  try {
    await client.publish(job.key, write, {
      transport: job.transport ?? undefined,
      generation: job.generation ?? undefined,
      maxPending: job.max_pending ?? undefined,
      retryForMs: job.retry_for_ms ?? undefined,
      onAck: ({ count, lastId }) => report({ type: "ack", count, last_id: lastId }),
      WebSocket,
    });
    report({ type: "done" });
  } catch (error) {
    if (error === raised) report({ type: "done" });
    else failed(error);
  }
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
