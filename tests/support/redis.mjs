// A Redis of a test's own, which keeps nothing and listens on no port.

import net from 'node:net';
import path from 'node:path';
import { kill, start, until } from './processes.mjs';

export async function startRedis(folder) {
  const socket = path.join(folder, 'redis.sock');
  const args = [
    '--port',
    '0',
    '--unixsocket',
    socket,
    '--save',
    '',
    '--appendonly',
    'no',
    '--dir',
    folder,
  ];
  const redis = new Redis(start('redis-server', args, { stdio: 'ignore' }), socket);
  await until(() => redis.command('PING').catch(() => false), 'Redis answers');
  return redis;
}

class Redis {
  #child;
  #socket;

  constructor(child, socket) {
    this.#child = child;
    this.#socket = socket;
    this.url = `unix://${socket}`;
  }

  /** Sends a command without arguments; the answer is its first chunk. */
  command(name) {
    return new Promise((resolve, reject) => {
      const connection = net.connect(this.#socket, () => connection.write(`${name}\r\n`));
      connection.on('error', reject).once('data', (answer) => {
        connection.destroy();
        resolve(answer.toString());
      });
    });
  }

  /** Until `resume` it answers nothing; what it is sent meanwhile it does then. */
  suspend() {
    this.#child.kill('SIGSTOP');
  }

  resume() {
    this.#child.kill('SIGCONT');
  }

  kill() {
    return kill(this.#child);
  }
}
