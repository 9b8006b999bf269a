// Snippets that follow several streams over one connection, with a token for keys or for a prefix.

import { issueToken, listStreams } from "./api.js";
import { html, live, nothing } from "./lib.js";
import { attempt, notice } from "./notice.js";
import { redraw } from "./redraw.js";
import { shell, snippet } from "./snippet.js";

/** The broker's default limit of streams for one connection. */
const MAX_KEYS = 32;

/**
 * @typedef {{base: string, query: string, token: string, isKeyed: boolean}} For `base` is the
 *   address of the routes for subscribers, and `query` has the keys. `isKeyed`: there are several
 *   keys, so that server-sent events contain theirs.
 * @type {{title: string, about: string, keyed?: true, code: (what: For) => string}[]}
 */
const SNIPPETS = [
  {
    title: "NDJSON",
    about: "All of them in a terminal, over one connection. It needs jq.",
    code: ({ base, query, token }) => `TOKEN='${token}'
curl -sN -H "Authorization: Bearer $TOKEN" ${shell(`${base}ndjson?${query}`)} |
  jq -c --unbuffered '[.key, .id, .event, .data]'`,
  },
  {
    title: "Polling",
    about: "Where nothing may stream: one request after the other, each event once. It needs jq.",
    code: ({
      base,
      query,
      token,
    }) => `TOKEN='${token}' URL=${shell(`${base}poll?${query}`)} STATUS=active AFTER=
while [ "$STATUS" = active ]; do
  ANSWER=$(curl -sf --retry 9 -H "Authorization: Bearer $TOKEN" "$URL\${AFTER:+&after=$AFTER}") || exit
  [ "$ANSWER" ] || continue
  printf '%s\\n' "$ANSWER" | jq -c '.events[]'
  AFTER=$(printf '%s\\n' "$ANSWER" | jq -r '.cursor // "" | @uri') STATUS=$(printf '%s\\n' "$ANSWER" | jq -r .status)
done`,
  },
  {
    title: "EventSource, several streams",
    keyed: true,
    about: "In any page. It goes on in all of them by itself.",
    code: ({ base, query, token }) => `const url = ${JSON.stringify(`${base}sse?${query}`)};
const token = ${JSON.stringify(token)};
const events = new EventSource(\`\${url}&token=\${token}\`);
for (const name of ["token", "end", "cancel", "fail", "abandon", "missedevents"]) {
  events.addEventListener(name, ({ type, lastEventId, data }) => {
    const [key, id] = lastEventId.split(",", 1)[0].split(/[:!]/);
    console.log(decodeURIComponent(key), id, data || type);
  });
}`,
  },
];

export class Many {
  /** @type {"keys" | "prefix"} */
  #by = "keys";
  #text;
  /** @type {For | null} */
  #made = null;

  /** @param {string} key One of them. */
  constructor(key) {
    this.#text = key;
  }

  render() {
    const isPrefix = this.#by === "prefix";
    return html`<section class="snippet" aria-labelledby="several">
      <h3 id="several">Several streams</h3>
      <p class="hint">A token for all of them, and how to follow them over one connection.</p>
      <form class="several" @submit=${this.#onSubmit}>
        <label for="several-by">Token for</label>
        <select id="several-by" .value=${live(this.#by)} @change=${(
          /** @type {Event & {target: HTMLSelectElement}} */ { target },
        ) => {
          this.#by = target.value === "prefix" ? "prefix" : "keys";
          redraw();
        }}><option value="keys">these keys</option><option
          value="prefix">all keys that begin with</option></select>
        <label for="several-text">${isPrefix ? "Prefix" : "Keys, one on each line"}</label>
        <textarea id="several-text" class="code" rows=${isPrefix ? 1 : 4} required
          spellcheck="false" .value=${live(this.#text)}
          @input=${(/** @type {Event & {target: HTMLTextAreaElement}} */ { target }) => {
            this.#text = target.value;
          }}></textarea>
        <div class="buttons"><button>Make a token</button></div>
      </form>
    </section>
    ${this.#made === null ? nothing : this.#snippets(this.#made)}`;
  }

  #snippets(/** @type {For} */ made) {
    return SNIPPETS.filter(({ keyed }) => made.isKeyed || !keyed).map(({ title, about, code }) =>
      snippet(title, about, code(made)),
    );
  }

  #onSubmit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const made = await attempt(() =>
      this.#by === "prefix" ? forPrefix(this.#text.trimEnd()) : forKeys(this.#text),
    );
    if (made === undefined) return;
    this.#made = made;
    redraw();
  };
}

async function forKeys(/** @type {string} */ text) {
  const keys = text.split("\n").filter((line) => line !== "");
  return complete(await issueToken({ keys }), keys);
}

/** A token for a prefix has no keys. The URL gets those of the existing streams. */
async function forPrefix(/** @type {string} */ prefix) {
  const pattern = `${prefix.replace(/[*?[\]\\]/g, "?")}*`;
  const [access, rows] = await Promise.all([issueToken({ prefix }), listStreams(pattern)]);
  const keys = rows.map(({ key }) => key).filter((key) => key.startsWith(prefix));
  if (keys.length === 0)
    notice("No active stream's key begins with this: name some in the code", "bad");
  return complete(access, keys.slice(0, MAX_KEYS));
}

/**
 * @param {import("./api.js").Access} access
 * @param {string[]} keys
 */
function complete({ sse_url, token }, keys) {
  const query = new URLSearchParams(keys.map((key) => ["key", key]));
  return {
    base: String(new URL("./", sse_url)),
    query: String(query),
    token,
    isKeyed: keys.length > 1,
  };
}
