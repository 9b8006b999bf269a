// Takes the place of `createInMemoryResumableStreamStore` in the tests of `assistant-stream`.

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createBrokerResumableStreamStore } from 'tinistreamer/assistant-ui';

const { TINISTREAMER_URL: url, TINISTREAMER_API_KEY: apiKey } = process.env;

/** The broker's store, with what those tests expect of a store in memory. */
export function createInMemoryResumableStreamStore({ now, defaultTtlMs, ...options } = {}) {
  const ttl = defaultTtlMs && Math.max(1, Math.ceil(defaultTtlMs / 1000));
  const keyPrefix = randomBytes(6).toString('hex');
  const store = createBrokerResumableStreamStore({
    ...{ url, apiKey, keyPrefix, ...(ttl && { stream: { ttl } }) },
    ...options,
  });
  const counted = withCountedCursors(store);
  const timed = now ? withClock(counted, now, defaultTtlMs) : counted;
  return { ...withSettledWrites(timed), dispose() {} };
}

/**
 * A store in memory writes and reads in no time. Here a test that asks about a stream, or acquires
 * it again, waits for the answers to its writes first. A test that deletes a stream also waits
 * until its readers have what was written.
 */
function withSettledWrites(store) {
  const pending = new Set();
  const settle = () => Promise.allSettled(pending);
  const written = new Map();
  const readers = new Set();
  const writes =
    (method) =>
    (...args) => {
      const done = store[method](...args);
      pending.add(done);
      const forget = () => pending.delete(done);
      done.then(forget, forget);
      return done;
    };
  const asks =
    (method) =>
    async (...args) => {
      await settle();
      return store[method](...args);
    };
  const append = writes('append');
  return {
    ...store,
    async append(streamId, ...args) {
      await append(streamId, ...args);
      written.set(streamId, (written.get(streamId) ?? 0) + 1);
    },
    finalize: writes('finalize'),
    acquire: asks('acquire'),
    acquireLease: asks('acquireLease'),
    status: asks('status'),
    async delete(streamId) {
      await settle();
      const behind = ({ id, got }) => id === streamId && got < (written.get(streamId) ?? 0);
      await until(() => ![...readers].some(behind), 'the readers have all');
      await store.delete(streamId);
    },
    async *read(streamId, cursor, signal) {
      const reader = { id: streamId, got: 0 };
      // Only a reader from the start is counted.
      if (cursor === '') readers.add(reader);
      try {
        for await (const entry of store.read(streamId, cursor, signal)) {
          reader.got += 1;
          yield entry;
        }
      } finally {
        readers.delete(reader);
      }
      await settle();
    },
  };
}

/** Waits for at most ten seconds. */
async function until(condition, what) {
  for (let turn = 0; !condition(); turn += 1) {
    if (turn === 1_000) throw new Error(`timed out: ${what}`);
    await sleep(10);
  }
}

/** Cursors of a store in memory count the entries. Ours are opaque. */
function withCountedCursors(store) {
  const cursors = new Map([['', '']]);
  return {
    ...store,
    async *read(streamId, cursor, signal) {
      const known = cursors.get(cursor);
      for await (const entry of store.read(streamId, known, signal)) {
        const counted = entry.cursor.replace(/^.*-/, '');
        cursors.set(counted, entry.cursor);
        yield { ...entry, cursor: counted };
      }
    },
  };
}

/**
 * `now` is a clock that the tests move. A stream whose time is over by it is removed from the
 * broker, as the broker itself would do later.
 */
function withClock(store, now, defaultTtlMs) {
  const deadlines = new Map();
  const begin = (streamId, ttlMs = defaultTtlMs) =>
    deadlines.set(streamId, { at: now() + ttlMs, ttlMs });
  const moved = async (streamId) => {
    const deadline = deadlines.get(streamId);
    if (deadline === undefined || now() < deadline.at) return deadline;
    deadlines.delete(streamId);
    await store.delete(streamId);
    return undefined;
  };
  const renewed = async (streamId) => {
    const deadline = await moved(streamId);
    if (deadline) begin(streamId, deadline.ttlMs);
  };
  const acquireLease = async (streamId, options) => {
    await moved(streamId);
    const acquired = await store.acquireLease(streamId, options);
    if (acquired.role === 'producer') begin(streamId, options?.ttlMs);
    return acquired;
  };
  const after = (step, method) =>
    async (streamId, ...args) => {
      await step(streamId);
      return store[method](streamId, ...args);
    };
  return {
    ...store,
    acquireLease,
    acquire: async (...args) => (await acquireLease(...args)).role,
    append: after(renewed, 'append'),
    finalize: after(renewed, 'finalize'),
    status: after(moved, 'status'),
    async *read(streamId, ...args) {
      await moved(streamId);
      yield* store.read(streamId, ...args);
    },
  };
}
