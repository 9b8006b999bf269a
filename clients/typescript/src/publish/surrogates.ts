/**
 * How many names of events may have half a character waiting at the same time. Past it a half is
 * replaced at once, so that a writer that makes up names does not grow.
 */
const MAX_HELD = 100;

/**
 * Joins the halves of a character (a surrogate pair) that come in two writes of the same event
 * name, as tokenizers cut emoji. The first half waits for the next write of that name; UTF-8 can't
 * carry it alone.
 */
export class SplitCharacters {
  readonly #held = new Map<string, string>();

  /** The data with the half that waited before it, and without the half that it ends with. */
  join(event: string, data: string): string {
    const text = (this.#held.get(event) ?? "") + data;
    this.#held.delete(event);
    if (!/[\uD800-\uDBFF]$/.test(text) || this.#held.size >= MAX_HELD) return text;
    this.#held.set(event, text.slice(-1));
    return text.slice(0, -1);
  }

  /** The names of the events whose second half never came; they wait no longer. */
  rest(): string[] {
    const names = [...this.#held.keys()];
    this.#held.clear();
    return names;
  }
}

/** The JSON text of a value, in which each half of a character without its other half is U+FFFD. */
export function wellFormedJson(value: unknown): string {
  const json = JSON.stringify(value);
  if (!json?.includes("\\ud")) return json;
  // JSON.stringify escapes only lone halves. Every escape is matched, so that an escaped backslash
  // before "ud83d" begins none.
  return json.replace(/\\(?:u(d[89a-f][0-9a-f]{2})|.)/g, (found, half) =>
    half ? "\\ufffd" : found,
  );
}
