// Tokens put together again. Backends send a token as plain text or within JSON, in one of a few
// usual places.

/** Where the APIs of language models put the text of a part of an answer. */
const PLACES = [
  ["text"],
  ["token"],
  ["content"],
  ["delta"],
  ["delta", "text"],
  ["delta", "content"],
  ["message", "content"],
  ["choices", "0", "delta", "content"],
  ["choices", "0", "text"],
];

/** @param {string} data */
export function textOf(data) {
  if (!data.startsWith("{")) return data;
  const value = parsed(data);
  if (value === undefined) return data;
  for (const place of PLACES) {
    /** @type {unknown} */
    let found = value;
    for (const step of place)
      found = typeof found === "object" && found !== null ? Reflect.get(found, step) : undefined;
    if (typeof found === "string") return found;
  }
  return "";
}

/**
 * JSON laid out over lines; other text as it is.
 * @param {string} data
 */
export function pretty(data) {
  if (!/^\s*[[{]/.test(data)) return { json: false, text: data };
  const value = parsed(data, exactly);
  return value === undefined
    ? { json: false, text: data }
    : { json: true, text: JSON.stringify(value, null, 2) };
}

/**
 * @param {string} data
 * @param {(name: string, value: unknown, context?: {source?: string}) => unknown} [reviver]
 */
function parsed(data, reviver) {
  try {
    return JSON.parse(data, reviver);
  } catch {
    return undefined;
  }
}

/**
 * Keeps a number as it was written, where the browser can: 12345678901234567890 is not shown as
 * 12345678901234567000.
 */
function exactly(
  /** @type {string} */ _name,
  /** @type {unknown} */ value,
  /** @type {{source?: string} | undefined} */ context,
) {
  const raw = Reflect.get(JSON, "rawJSON");
  return typeof value === "number" && raw && context?.source ? raw(context.source) : value;
}

/** Text that grows with a log, without being put together anew for each event. */
export class Assembled {
  text = "";
  #taken = 0;
  #name = "";

  /**
   * @param {import("./log.js").EventLog} log
   * @param {string} name Of the events whose text it is; empty for all that are not the broker's
   * own.
   * @param {readonly string[]} own
   */
  update(log, name, own) {
    const fresh = log.total - this.#taken;
    if (name !== this.#name || fresh < 0 || fresh > log.entries.length) {
      this.#name = name;
      this.text = "";
      this.#taken = log.total - log.entries.length;
    }
    const wanted = (/** @type {string} */ event) =>
      name === "" ? !own.includes(event) : event === name;
    const from = log.entries.length - (log.total - this.#taken);
    for (const entry of log.entries.slice(from))
      if (wanted(entry.name)) this.text += textOf(entry.data);
    this.#taken = log.total;
    return this.text;
  }
}
