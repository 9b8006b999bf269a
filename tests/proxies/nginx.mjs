// A real nginx in front of a broker.

import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { kill, start, until } from '../support/processes.mjs';

export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

/**
 * Starts nginx with one server. `http` and `server` are its directives in these blocks. Returns its
 * URL.
 */
export async function startNginx(fixture, { http = '', server }) {
  const port = await freePort();
  const folder = path.join(fixture.folder, 'nginx');
  mkdirSync(folder);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${folder};`)
    .join(' ');
  writeFileSync(
    path.join(folder, 'nginx.conf'),
    `worker_processes 1; daemon off; pid ${folder}/pid; error_log ${folder}/error.log; events {}
     http { access_log off; ${temporary} ${http}
       server { listen 127.0.0.1:${port}; ${server} } }`,
  );
  const nginx = start(
    'nginx',
    ['-e', path.join(folder, 'error.log'), '-c', path.join(folder, 'nginx.conf')],
    { stdio: 'inherit' },
  );
  fixture.atClose(async () => {
    nginx.kill('SIGQUIT');
    nginx.kill('SIGTERM');
    await nginx.gone;
    await kill(nginx);
  });
  const url = `http://127.0.0.1:${port}`;
  await until(
    () =>
      fetch(url).then(
        () => true,
        () => false,
      ),
    'nginx listens',
  );
  return url;
}
