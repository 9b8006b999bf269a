// A Redis server for one test. It stores nothing on disk and listens on no port.

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

  /** Sends a command without arguments. Returns the first chunk of the reply. */
  command(name) {
    return new Promise((resolve, reject) => {
      const connection = net.connect(this.#socket, () => connection.write(`${name}\r\n`));
      connection.on('error', reject).once('data', (answer) => {
        connection.destroy();
        resolve(answer.toString());
      });
    });
  }

  /** Stops answering until `resume`. Commands that come meanwhile are executed then. */
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
