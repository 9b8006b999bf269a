import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
};

const page = fileURLToPath(new URL('public/', import.meta.url));
// The installed client library. Its modules run in browsers without a build.
const client = path.dirname(createRequire(import.meta.url).resolve('tinistreamer/subscribe'));

/**
 * Serves the page and the client library that it imports. The page may connect only to this backend
 * and to `brokerUrl`.
 */
export async function serveFile(request, response, pathname, brokerUrl) {
  const inClient = pathname.startsWith('/tinistreamer/');
  // The URL parser has removed dot segments, and the path is not decoded here. So it stays in its
  // folder.
  const file = inClient
    ? path.join(client, pathname.slice('/tinistreamer/'.length))
    : path.join(page, pathname === '/' ? 'index.html' : pathname);
  const type = TYPES[path.extname(file)];
  const content =
    type && (request.method === 'GET' || request.method === 'HEAD') && (await readIfThere(file));
  if (!content) return response.writeHead(404, { 'Content-Type': 'text/plain' }).end('Not found\n');
  response
    .writeHead(200, {
      'Content-Type': type,
      'Cache-Control': 'no-cache',
      'Content-Security-Policy': `default-src 'self'; img-src data:; connect-src 'self' ${new URL(brokerUrl).origin}`,
      'X-Content-Type-Options': 'nosniff',
    })
    .end(content);
}

async function readIfThere(file) {
  try {
    return await readFile(file);
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'EISDIR') return undefined;
    throw error;
  }
}
