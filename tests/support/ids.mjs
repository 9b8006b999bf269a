/** The number in an event id `<milliseconds>-<number>`, which counts a stream's events from 0. */
export const numberOf = (id) => Number(/^\d+-(\d+)$/.exec(id)?.[1]);

export const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);
