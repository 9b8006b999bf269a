// What the tests of pages that follow several streams share.

import { range } from './harness.mjs';

const NAMES = ['start', 'token', 'alert', 'metric', 'end', 'cancel', 'missedevents'];

/** Creates `count` streams whose keys need encoding in a URL, and a token for all of them. */
export async function streams(broker, count, options) {
  const prefix = 'many 1/ä:';
  const keys = range(0, count).map((n) => `${prefix}${n},~é&=?#+%!*'()`);
  for (const key of keys) await broker.stream(key, options);
  const access = await broker.call('/stream/token', { prefix });
  const address = (transport, server, { key: more = [], ...query } = {}, subscribed = keys) => {
    const url = new URL(access[`${transport}_url`]);
    url.host = `127.0.0.1:${server.port}`;
    for (const key of [...subscribed, ...more]) url.searchParams.append('key', key);
    for (const [name, value] of Object.entries({ token: access.token, ...query }))
      url.searchParams.set(name, value);
    return url.href;
  };
  return { keys, prefix, address };
}

/** Records what a proxy passes on to pages. */
export function listen(proxy) {
  const sent = { bytes: '' };
  const { onResponse } = proxy;
  proxy.onResponse = (connection, chunk) => {
    onResponse.call(proxy, connection, chunk);
    sent.bytes += chunk;
  };
  return sent;
}

/**
 * Resolves when a page has most likely read all bytes on their way. A browser drops those when its
 * connection is cut.
 */
export async function settled(tab, proxy) {
  for (const _ of range(0, 3)) await tab.evaluate((url) => ask(url), `${proxy.url}/api/health`);
}

export const follow = (tab, url) =>
  tab.evaluate(([url, names]) => followEvents(url, names), [url, NAMES]);
export const closed = (tab) => tab.waitForFunction(() => source.readyState === EventSource.CLOSED);

/** The events that a page has seen, with the stream and the id at the start of `lastEventId`. */
export async function seenBy(tab) {
  const seen = await tab.evaluate(() => seen);
  return seen.map(({ event, data, id: lastEventId }) => ({
    ...positionOf(lastEventId),
    event,
    data,
    lastEventId,
  }));
}

/**
 * Reads the first item of a cursor, as docs/reference/cursors.md defines it. The last id of a
 * stream has a `!`.
 */
export function positionOf(lastEventId) {
  const [key, id] = lastEventId.split(',', 1)[0].split(':');
  return { key: decodeURIComponent(key), id: id.replace('!', '') };
}

export const eventsOf = (seen, wantedKey) =>
  seen.filter(({ key }) => key === wantedKey).map(({ id, event, data }) => ({ id, event, data }));
