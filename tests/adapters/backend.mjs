// A backend as a process: the handlers of a module, and what its model does.

import { serve } from '@hono/node-server';
import { calls } from './model.mjs';

const handlers = await import(process.env.ROUTE);

async function respond(request) {
  if (new URL(request.url).pathname === '/calls') return Response.json(calls);
  return handlers[request.method](request);
}

const server = serve({ fetch: respond, port: 0, hostname: '127.0.0.1' }, ({ port }) => {
  console.log(`http://127.0.0.1:${port}`);
});
process.on('SIGTERM', () => server.close());
