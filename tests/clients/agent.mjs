// The agents: one program per client library, which does one job over the public interface.
// README.md describes the protocol.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { DEADLINE, start, until } from '../support/processes.mjs';
import { Forks } from './forks.mjs';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '../..');
const at = (file) => path.join(root, file);
const rust = path.resolve(process.env.TINISTREAMER_RUST_AGENT ?? at('target/debug/examples/agent'));
const typescript = at('clients/typescript/agent/agent.mjs');
const python = new Forks(at('target/venv-clients/bin/python'), [
  at('clients/python/agent/agent.py'),
  '--forks',
]);

/** Starts the agent of each library. */
const STARTS = {
  rust: () => start(rust, [], { stdio: 'pipe' }),
  typescript: () => start(process.execPath, [typescript], { stdio: 'pipe' }),
  python: () => python.start([]),
  'python-sync': () => python.start(['--sync']),
};

/** The client libraries that `CLIENTS` selects. All by default. */
export const CLIENTS = process.env.CLIENTS?.split(',') ?? Object.keys(STARTS);
for (const client of CLIENTS) {
  if (!STARTS[client])
    throw new Error(`CLIENTS names ${client}, which is not one of ${Object.keys(STARTS)}`);
}

/** The members of a message. */
export const withoutType = ({ type: _, ...rest }) => rest;

/** An agent with a job, and all messages that it has written. */
export class Agent {
  messages = [];
  events = [];
  missed = [];
  acks = [];
  /** Replies to additions and drops of streams, and to requests for the cursor. */
  changes = [];
  /** Results of management calls, and their errors. */
  answers = [];
  /** The signals that a writer has heard. Null before it listens. */
  signals = null;
  /** Whether the signals of a writer are over. */
  silent = false;
  stopHeard = false;
  /** Replies to signals that a subscriber has sent. */
  signalled = [];
  /** Changes of a subscriber's connection. */
  connections = [];
  flushes = 0;
  tokenRequests = 0;
  accessRequests = 0;
  /** What the last event of a finished stream says, and of each of several streams. */
  reason = null;
  reasons = null;
  /** The message that ended the job, or the last error. */
  outcome = null;
  #child;
  #stderr = '';
  #defect = null;
  #ended = null;

  constructor(client, job) {
    this.client = client;
    this.#child = STARTS[client]();
    this.#child.stderr.on('data', (chunk) => (this.#stderr += chunk));
    // The exit of the process reports a broken pipe.
    this.#child.stdin.on('error', () => {});
    this.#child.once('error', (error) => (this.#ended = { error }));
    // `close` comes after `exit`. By then all output of the agent has been read.
    this.#child.once('close', (code, signal) => (this.#ended ??= { code, signal }));
    this.#listen();
    this.send(job);
  }

  send(line) {
    this.#child.stdin.write(`${JSON.stringify(line)}\n`);
  }

  closeInput() {
    this.#child.stdin.end();
  }

  /** Waits for something that the agent does. A defect, or an early exit, is an error. */
  async until(condition, what, timeout = DEADLINE) {
    const met = async () => {
      if (this.#defect) this.#fail(this.#defect);
      const found = await condition();
      if (!found && this.#ended) this.#fail(`ended before ${what}`);
      return found;
    };
    await until(met, () => `${what}\n${this.#report()}`, Date.now() + timeout);
  }

  /** Sends a change of streams or a request for the cursor, and returns the reply. */
  async ask(request) {
    const answers = this.changes.length;
    this.send(request);
    await this.until(
      () => this.changes.length > answers,
      `the reply to ${JSON.stringify(request)}`,
    );
    return this.changes[answers];
  }

  /** Returns how the job ended, when the process has exited in order. */
  async over(timeout = DEADLINE) {
    await until(
      () => this.#ended,
      () => `the agent's end\n${this.#report()}`,
      Date.now() + timeout,
    );
    const { code, signal, error } = this.#ended;
    if (error) this.#fail(`could not be started: ${error.message}`);
    if (this.#defect) this.#fail(this.#defect);
    if (code !== 0) this.#fail(`exited with ${code ?? signal}`);
    return this.outcome;
  }

  /** The resident memory in bytes. A program that has just exited has none. */
  get memory() {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
  }

  kill() {
    this.#child.kill('SIGKILL');
    return this.#child.gone;
  }

  /**
   * Splits the output at line feeds only. `node:readline` also splits at U+2028, which JSON does
   * not escape.
   */
  #listen() {
    let begun = '';
    this.#child.stdout.on('data', (chunk) => {
      const lines = chunk.split('\n');
      lines[0] = begun + lines[0];
      begun = lines.pop();
      for (const line of lines) this.#take(line);
    });
  }

  #take(line) {
    let message;
    try {
      message = JSON.parse(line);
    } catch {
      this.#defect ??= `wrote text that is not JSON: ${line.slice(0, 300)}`;
      return;
    }
    this.messages.push(message);
    switch (message.type) {
      case 'event':
        return this.events.push(message);
      case 'missed':
        return this.missed.push(message);
      case 'ack':
        return this.acks.push(message);
      case 'added':
      case 'dropped':
      case 'refused':
      case 'cursor':
        return this.changes.push(message);
      case 'flushed':
        return (this.flushes += 1);
      case 'token-wanted':
        return (this.tokenRequests += 1);
      case 'access-wanted':
        return (this.accessRequests += 1);
      case 'connection':
        return this.connections.push(message);
      case 'hearing':
        return (this.signals = []);
      case 'signal':
        return this.signals.push(withoutType(message));
      case 'silent':
        return (this.silent = true);
      case 'stop-heard':
        return (this.stopHeard = true);
      case 'signalled':
      case 'signal-refused':
        return this.signalled.push(message);
      case 'result':
        return this.answers.push(message);
      case 'failed':
        this.answers.push(message);
        return (this.outcome = message);
      case 'finished':
        return this.#finished(message);
      case 'text':
      case 'stopped':
      case 'done':
        return (this.outcome = message);
      default:
        this.#defect ??= `wrote an unknown message: ${line.slice(0, 300)}`;
    }
  }

  #finished({ reason = null, reasons = null, ...outcome }) {
    Object.assign(this, { reason, reasons, outcome });
  }

  #fail(what) {
    throw new Error(`${this.client}: the agent ${what}\n${this.#report()}`);
  }

  #report() {
    const last = this.messages.slice(-5).map((message) => JSON.stringify(message).slice(0, 300));
    return [
      `${this.client} wrote ${this.messages.length} messages, the last of them:`,
      ...last,
      'and to standard error:',
      this.#stderr.slice(-3_000),
    ].join('\n');
  }
}
