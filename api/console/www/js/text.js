// Joins tokens to a text. Backends send a token as plain text or in JSON, at one of a few usual
// paths.

/** The paths at which the APIs of language models have the text of a part of an answer. */
const PATHS = [
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
  for (const path of PATHS) {
    /** @type {unknown} */
    let found = value;
    for (const step of path)
      found = typeof found === "object" && found !== null ? Reflect.get(found, step) : undefined;
    if (typeof found === "string") return found;
  }
  return "";
}

/**
 * Returns JSON with line breaks and indents, and other text unchanged.
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
 * Keeps a number as it was written, if the browser can. So 12345678901234567890 is not shown as
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

/** The text of a log. Each event only adds to it. */
export class Assembled {
  text = "";
  #taken = 0;
  #name = "";

  /**
   * @param {import("./log.js").EventLog} log
   * @param {string} name The name of the events whose text it is. Empty for all except the broker's
   * own events.
   * @param {readonly string[]} own
   */
  update(log, name, own) {
    const fresh = log.total - this.#taken;
    if (name !== this.#name || fresh < 0 || fresh > log.entries.length) {
      this.#name = name;
      this.text = "";
      this.#taken = log.total - log.entries.length;
    }
    const matches = (/** @type {string} */ event) =>
      name === "" ? !own.includes(event) : event === name;
    const from = log.entries.length - (log.total - this.#taken);
    for (const entry of log.entries.slice(from))
      if (matches(entry.name)) this.text += textOf(entry.data);
    this.#taken = log.total;
    return this.text;
  }
}
