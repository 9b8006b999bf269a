// A page: what it does with the routes of a backend, without a browser.

import assert from 'node:assert/strict';
import { pathToFileURL } from 'node:url';
import path from 'node:path';
import { installed } from './package.mjs';
import { question } from './model.mjs';

const load = (file) => import(pathToFileURL(path.join(installed, 'dist', file)));
export const { Client } = await load('index.js');
export const { subscribe } = await load('subscribe.js');

/** Some recipes want a user. */
const user = { 'X-User': 'ann' };

/** Asks a backend, and returns the `{ key, sse_url, token }` of its answer. */
export async function ask(backend, script) {
  const response = await fetch(`${backend.url}/answers`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...user },
    body: JSON.stringify({ question: question(script) }),
  });
  assert.equal(response.status, 200, backend.errors);
  return response.json();
}

/** The same with a new token, as a page that was reloaded gets it. */
export async function askAgain(backend, key) {
  const response = await fetch(`${backend.url}/answers/${encodeURIComponent(key)}`, {
    headers: user,
  });
  assert.equal(response.status, 200, backend.errors);
  return response.json();
}

/** Follows an answer. `done` resolves with how it was finished. */
export function follow(access) {
  const events = subscribe({ access });
  const reader = { events, text: '', wants: () => {} };
  reader.hasText = (length) =>
    new Promise((resolve) => {
      reader.wants = () => reader.text.length >= length && resolve();
      reader.wants();
    });
  reader.done = (async () => {
    for await (const { event, data } of events) {
      if (event === 'token') reader.text += data;
      reader.wants();
    }
    return { text: reader.text, status: events.status, reason: events.reason };
  })();
  return reader;
}
