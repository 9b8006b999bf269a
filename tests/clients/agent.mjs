// The agents: for each client a program that does one job over its public interface. README.md has
// the protocol.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { DEADLINE, kill, start, until } from '../support/processes.mjs';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '../..');
const at = (file) => path.join(root, file);
const python = [at('target/venv-clients/bin/python'), at('clients/python/agent/agent.py')];

const COMMANDS = {
  rust: [path.resolve(process.env.TINISTREAMER_RUST_AGENT ?? at('target/debug/examples/agent'))],
  typescript: [process.execPath, at('clients/typescript/agent/agent.mjs')],
  python,
  'python-sync': [...python, '--sync'],
};

/** Those that `CLIENTS` picks, all by default. */
export const CLIENTS = process.env.CLIENTS?.split(',') ?? Object.keys(COMMANDS);
for (const client of CLIENTS) {
  if (!COMMANDS[client])
    throw new Error(`CLIENTS names ${client}, which is none of ${Object.keys(COMMANDS)}`);
}

/** An agent at its job, and all that it has said. */
export class Agent {
  messages = [];
  events = [];
  missed = [];
  acks = [];
  /** Answers to additions and drops of streams, and cursors. */
  changes = [];
  /** Answers to calls of the management job, good and bad. */
  answers = [];
  flushes = 0;
  tokensWanted = 0;
  /** The message that ended the job, or the last step that failed. */
  outcome = null;
  #child;
  #complaints = '';
  #defect = null;
  #ended = null;

  constructor(client, job) {
    const [command, ...args] = COMMANDS[client];
    this.client = client;
    this.#child = start(command, args, { stdio: 'pipe' });
    this.#child.stderr.on('data', (chunk) => (this.#complaints += chunk));
    // A pipe that breaks shows in how the process ends.
    this.#child.stdin.on('error', () => {});
    this.#child.once('error', (error) => (this.#ended = { error }));
    // Later than the exit: by now all that the agent has written has been read.
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

  /** Waits for something that the agent does; a defect or its untimely end is an error. */
  async until(condition, what, patience = DEADLINE) {
    const met = async () => {
      if (this.#defect) this.#fail(this.#defect);
      const found = await condition();
      if (!found && this.#ended) this.#fail(`ended before ${what}`);
      return found;
    };
    await until(met, () => `${what}\n${this.#report()}`, Date.now() + patience);
  }

  /** What it says to a change of the streams that it follows, or to the question for its cursor. */
  async ask(request) {
    const answers = this.changes.length;
    this.send(request);
    await this.until(
      () => this.changes.length > answers,
      `the answer to ${JSON.stringify(request)}`,
    );
    return this.changes[answers];
  }

  /** How the job ended, once the process has exited as it should. */
  async over(patience = DEADLINE) {
    await until(
      () => this.#ended,
      () => `the agent's end\n${this.#report()}`,
      Date.now() + patience,
    );
    const { code, signal, error } = this.#ended;
    if (error) this.#fail(`could not be started: ${error.message}`);
    if (this.#defect) this.#fail(this.#defect);
    if (code !== 0) this.#fail(`exited with ${code ?? signal}`);
    return this.outcome;
  }

  /** Resident memory, in bytes. */
  get memory() {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)[1]) * 1024;
  }

  kill() {
    return kill(this.#child);
  }

  /**
   * By line feeds alone: `node:readline` takes U+2028 for the end of a line, which JSON does not
   * escape.
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
      this.#defect ??= `wrote what is not JSON: ${line.slice(0, 300)}`;
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
        return (this.tokensWanted += 1);
      case 'result':
        return this.answers.push(message);
      case 'failed':
        this.answers.push(message);
        return (this.outcome = message);
      case 'text':
      case 'finished':
      case 'stopped':
      case 'done':
        return (this.outcome = message);
      default:
        this.#defect ??= `wrote what no agent may: ${line.slice(0, 300)}`;
    }
  }

  #fail(what) {
    throw new Error(`${this.client}: the agent ${what}\n${this.#report()}`);
  }

  #report() {
    const last = this.messages.slice(-5).map((message) => JSON.stringify(message).slice(0, 300));
    return [
      `${this.client} said ${this.messages.length} messages, at last:`,
      ...last,
      'and complained:',
      this.#complaints.slice(-3_000),
    ].join('\n');
  }
}
