// For workerd, which handles requests. The request's body is the job, the response's is the result.

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
