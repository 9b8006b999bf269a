// For workerd, which answers requests: the job is a request's body, the answer the response's.

import { run } from './scenario.mjs';

export default {
  async fetch(request) {
    try {
      return Response.json(await run(await request.json()));
    } catch (error) {
      return new Response(`${error.stack}\n${error.cause?.stack ?? ''}`, { status: 500 });
    }
  },
};
