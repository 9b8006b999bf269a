/**
 * For how many event names a half of a character may wait at the same time. Beyond it a half is
 * replaced at once, so that a writer with ever new names does not grow.
 */
const MAX_HELD = 100;

/**
 * Joins the halves of a character that come in two writes. Tokenizers split emoji into the two
 * halves of a surrogate pair, and UTF-8 can't encode one half alone. The first half waits for the
 * next write of the same event name.
 */
export class SplitCharacters {
  readonly #held = new Map<string, string>();

  /** Puts the half that waits before the data, and holds back the half that the data ends with. */
  join(event: string, data: string): string {
    const text = (this.#held.get(event) ?? "") + data;
    this.#held.delete(event);
    if (!/[\uD800-\uDBFF]$/.test(text) || this.#held.size >= MAX_HELD) return text;
    this.#held.set(event, text.slice(-1));
    return text.slice(0, -1);
  }

  /** The event names whose second half never came. The first halves are dropped. */
  rest(): string[] {
    const names = [...this.#held.keys()];
    this.#held.clear();
    return names;
  }
}

/** The JSON text of a value. A half of a character without its other half becomes U+FFFD. */
export function wellFormedJson(value: unknown): string {
  const json = JSON.stringify(value);
  if (!json?.includes("\\ud")) return json;
  // JSON.stringify escapes only lone halves. The pattern matches every escape, so that it does not
  // take an escaped backslash before "ud83d" for the start of one.
  return json.replace(/\\(?:u(d[89a-f][0-9a-f]{2})|.)/g, (found, half) =>
    half ? "\\ufffd" : found,
  );
}
