import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('../', import.meta.url));

/**
 * Starts a broker on loopback with the embedded store: `TINISTREAMER_BIN`, or the build of `cargo
 * run`. Calls `ended` with an error when the broker exits by itself. Resolves before the broker
 * responds.
 */
export async function startBroker(ended) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const apiKey = randomBytes(16).toString('hex');
  const binary = process.env.TINISTREAMER_BIN;
  const [command, ...args] = binary ? [binary] : ['cargo', 'run', '--locked'];
  if (!binary) console.log('Starting the broker, which has to be compiled the first time.');
  const child = spawn(command, args, {
    cwd: repository,
    env: {
      ...process.env,
      STREAMER_API_KEY: apiKey,
      STREAMER_SECRET_KEY: randomBytes(32).toString('hex'),
      STREAMER_REDIS_URL: 'memory:',
      STREAMER_SERVER_ADDRESS: url,
      STREAMER_ADDRESS: '127.0.0.1',
      STREAMER_PORT: String(port),
      STREAMER_ALLOWED_ORIGINS: 'all',
      STREAMER_SHUTDOWN_GRACE: '1',
      STREAMER_LOG: 'warn',
    },
    // Only its errors are printed. The user needs the page's address, not the broker's.
    stdio: ['ignore', 'ignore', 'inherit'],
    // Its own process group, so that Ctrl-C reaches only the backend. The backend needs the broker
    // until it has stopped its models.
    detached: true,
  });
  const over = () =>
    child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
  const gone = once(child, 'exit').then(
    ([code, signal]) =>
      ended(new Error(`The broker ended by itself: ${signal ?? `exit code ${code}`}`)),
    (error) => ended(new Error(`The broker can't be started: ${error.message}`)),
  );
  return {
    url,
    apiKey,
    get ended() {
      return over();
    },
    stop: async () => {
      // The whole group, because cargo may still be compiling.
      if (!over()) process.kill(-child.pid, 'SIGTERM');
      await gone;
    },
  };
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
