// The tests of `assistant-stream` that are about its store in memory alone, and why.

const store = (name) => `InMemoryResumableStreamStore ${name}`;
const ttl = (which) => `waits for updates without overflowing native timers with a long ${which} TTL`;

export const SKIPPED = new Map(
  Object.entries({
    [store('does not sweep 10 retained streams before an expiry is due')]: 'its map of streams',
    [store('does not sweep 1000 retained streams before an expiry is due')]: 'its map of streams',
    [store('wakes a waiting reader when its stream expires')]: 'its timers, with a fake clock',
    [store(ttl('default'))]: 'a TTL of 30 days, where the broker keeps streams for 7 days',
    [store(ttl('per-stream'))]: 'the same',
    [store('keeps a long TTL past the timer limit and expires at its full deadline')]: 'the same',
    [store('rejects append when stream reaches maxEntriesPerStream')]: 'an option of its own',
    [store('rejects acquire when active stream count exceeds maxStreams')]: 'an option of its own',
    [store('gc sweeper evicts expired streams without explicit access')]: 'its timer',
    [store('dispose clears the gc interval')]: 'its timer',
  }),
);
