// The broker, the model, and the programs of the examples, each as a process of its own.

import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { Fixture } from '../support/fixture.mjs';
import { kill, start, until } from '../support/processes.mjs';
import { CuttingProxy } from '../support/proxy.mjs';
import { Model } from './model.mjs';

/** Runs a test with a broker and a model. */
export function withBroker(name, body) {
  test(name, async (t) => {
    const fixture = new Fixture('memory');
    t.after(() => fixture.close());
    await body(await prepare(fixture));
  });
}

/** Adds a broker behind a proxy, which is its public address, and a model. */
export async function prepare(fixture) {
  const proxy = await fixture.listen(new CuttingProxy([]));
  const node = await fixture.broker({ STREAMER_SERVER_ADDRESS: proxy.url });
  proxy.upstreams.push(node);
  return Object.assign(fixture, { proxy, node, model: await startModel(fixture) });
}

async function startModel(fixture) {
  const model = new Model();
  await model.listen();
  fixture.atClose(() => model.close());
  return model;
}

/** What a user exports before an example. */
export const settings = ({ node, model }) => ({
  PATH: process.env.PATH,
  STREAMER_URL: node.url,
  STREAMER_API_KEY: node.apiKey,
  OPENAI_BASE_URL: model.url,
  OPENAI_API_KEY: 'key-of-the-model',
});

/** Starts a program. Collects what it prints in `out` and `errors`. */
export function run(fixture, command, args, options) {
  const child = start(command, args, options);
  fixture.atClose(() => kill(child));
  const program = { child, out: '', errors: '', kill: () => kill(child) };
  child.stdout.on('data', (chunk) => (program.out += chunk));
  child.stderr.on('data', (chunk) => (program.errors += chunk));
  const closed = new Promise((resolve) => child.once('close', resolve));
  program.ended = async () => {
    const { code } = await child.gone;
    // Its last words may still be in the pipe.
    await closed;
    if (code !== 0) throw new Error(`${command} ${args} ended with ${code}: ${program.errors}`);
    return program.out;
  };
  return program;
}

/** Starts a program that listens on a port, and returns it with its address. */
export async function serve(fixture, command, argsFor, optionsFor) {
  const port = await freePort();
  const program = run(fixture, command, argsFor(port), optionsFor(port));
  let ended;
  program.child.gone.then((how) => (ended = how));
  program.url = `http://127.0.0.1:${port}`;
  await until(async () => {
    if (ended) throw new Error(`${command} ended at its start: ${program.out}${program.errors}`);
    return isOpen(port);
  }, `${command} listens`);
  return program;
}

/** A port that nobody uses. */
async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

const isOpen = (port) =>
  new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
