// What the tests of pages that follow several streams share.

import { range } from './harness.mjs';

const NAMES = ['start', 'token', 'alert', 'metric', 'end', 'cancel', 'missedevents'];

/** As many streams, with keys that need care in a URL, and a token for all of them. */
export async function streams(broker, count, options) {
  const prefix = 'many 1/ä:';
  const keys = range(0, count).map((n) => `${prefix}${n},~é&=?#+%!*'()`);
  for (const key of keys) await broker.stream(key, options);
  const access = await broker.call('/stream/token', { prefix });
  const address = (transport, server, { key: more = [], ...query } = {}, followed = keys) => {
    const url = new URL(access[`${transport}_url`]);
    url.host = `127.0.0.1:${server.port}`;
    for (const key of [...followed, ...more]) url.searchParams.append('key', key);
    for (const [name, value] of Object.entries({ token: access.token, ...query }))
      url.searchParams.set(name, value);
    return url.href;
  };
  return { keys, prefix, address };
}

/** What a proxy passes on to pages. */
export function listen(proxy) {
  const told = { bytes: '' };
  const { answered } = proxy;
  proxy.answered = (connection, chunk) => {
    answered.call(proxy, connection, chunk);
    told.bytes += chunk;
  };
  return told;
}

/**
 * Resolves when a page has most likely read what is on its way: a browser drops that when the
 * connection is cut.
 */
export async function settled(tab, proxy) {
  for (const _ of range(0, 3)) await tab.evaluate((url) => ask(url), `${proxy.url}/api/health`);
}

export const follow = (tab, url) => tab.evaluate(([url, names]) => followEvents(url, names), [url, NAMES]);
export const closed = (tab) => tab.waitForFunction(() => source.readyState === EventSource.CLOSED);

/** What a page has seen, with the stream and the id that `lastEventId` begins with. */
export async function seenBy(tab) {
  const seen = await tab.evaluate(() => seen);
  return seen.map(({ event, data, id: lastEventId }) => ({
    ...placeOf(lastEventId),
    event,
    data,
    lastEventId,
  }));
}

/** As docs/following.md has it. A stream's last id has a `!`. */
export function placeOf(lastEventId) {
  const [key, id] = lastEventId.split(',', 1)[0].split(':');
  return { key: decodeURIComponent(key), id: id.replace('!', '') };
}

export const eventsOf = (seen, wanted) =>
  seen.filter(({ key }) => key === wanted).map(({ id, event, data }) => ({ id, event, data }));
