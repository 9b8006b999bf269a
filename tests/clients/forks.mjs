// Agents that one process forks. To import the library costs an agent in Python more than its job.
//
// Each line of the process's input asks for an agent, `{"agent", "path", "arguments"}`, or kills
// one, `{"agent"}`. `agent` is a number. The agent listens on the Unix socket at `path`, and writes
// `{"agent", "pid"}` to the output of the process. It takes three connections: its standard input,
// output and error. When it has ended, the process writes `{"agent", "code", "signal"}`.

import { EventEmitter } from 'node:events';
import net from 'node:net';
import path from 'node:path';
import readline from 'node:readline';
import { PassThrough } from 'node:stream';
import { makeFolder, start, track } from '../support/processes.mjs';

/** A process that forks agents. It starts with the first one. */
export class Forks {
  #command;
  #folder;
  #process = null;
  #agents = new Map();
  #started = 0;

  constructor(...command) {
    this.#command = command;
  }

  /** Starts an agent, which is like a `ChildProcess`. */
  start(args) {
    this.#folder ??= makeFolder();
    this.#process ??= this.#startProcess();
    const number = (this.#started += 1);
    const socket = path.join(this.#folder, `${number}`);
    const agent = new ForkedAgent(socket, () => this.#ask({ agent: number }));
    agent.spawnfile = this.#process.spawnfile;
    this.#agents.set(number, agent);
    this.#ask({ agent: number, path: socket, arguments: args });
    return track(agent);
  }

  #startProcess() {
    const child = start(...this.#command, { stdio: 'pipe' });
    child.isShared = true;
    // Its end says what happened.
    child.stdin.on('error', () => {});
    child.stderr.on('data', (text) => {
      for (const agent of this.#agents.values()) agent.stderr.emit('data', text);
    });
    readline.createInterface({ input: child.stdout }).on('line', (line) => {
      const { agent: number, pid, code, signal } = JSON.parse(line);
      const agent = this.#agents.get(number);
      if (pid !== undefined) return agent.connect(pid);
      this.#agents.delete(number);
      agent.end(code, signal);
    });
    const ended = (tell) => {
      if (this.#process === child) this.#process = null;
      for (const agent of this.#agents.values()) tell(agent);
      this.#agents.clear();
    };
    child.once('error', (error) => ended((agent) => agent.emit('error', error)));
    child.once('close', (code, signal) => ended((agent) => agent.end(code, signal)));
    return child;
  }

  #ask(request) {
    this.#process?.stdin.write(`${JSON.stringify(request)}\n`);
  }
}

class ForkedAgent extends EventEmitter {
  stdin = new PassThrough();
  stdout = new net.Socket();
  stderr = new net.Socket();
  pid;
  #path;
  #closed;

  constructor(path, kill) {
    super();
    this.#path = path;
    this.kill = kill;
    const outputs = [this.stdout, this.stderr];
    for (const output of outputs) output.setEncoding('utf8').on('error', () => {});
    this.#closed = outputs.map((output) => new Promise((done) => output.once('close', done)));
  }

  connect(pid) {
    this.pid = pid;
    const input = net.connect(this.#path).on('error', () => {});
    this.stdin.pipe(input);
    // Otherwise it does not notice that the agent has ended, and stays open.
    input.resume();
    for (const output of [this.stdout, this.stderr]) output.connect(this.#path);
  }

  /** `close` comes after `exit`, when all output has been read, as with a `ChildProcess`. */
  end(code, signal) {
    if (this.pid === undefined) for (const output of [this.stdout, this.stderr]) output.destroy();
    this.emit('exit', code, signal);
    Promise.all(this.#closed).then(() => this.emit('close', code, signal));
  }
}
