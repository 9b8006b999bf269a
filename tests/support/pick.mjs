// A choice that is the same in each run.

import { createHash } from 'node:crypto';

/** One of the items, which depends on the name alone. Undefined if there are none. */
export const pickByName = (items, name) =>
  items[createHash('sha256').update(name).digest().readUInt32BE() % items.length];
