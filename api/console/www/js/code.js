// Snippets that do in a program what the console does. They run unchanged, with a new token.

import { issueToken } from "./api.js";
import { html } from "./lib.js";
import { Many } from "./many.js";
import { attempt } from "./notice.js";
import { redraw } from "./redraw.js";
import { shell, snippet } from "./snippet.js";

const quoted = JSON.stringify;

/**
 * @typedef {{key: string, name: string, access: import("./api.js").Access}} For `name` is an event
 *   name of the stream.
 * @type {{title: string, about: string, code: (what: For) => string}[]}
 */
const SNIPPETS = [
  {
    title: "curl",
    about: "Follow in a terminal.",
    code: ({ access: { sse_url, token } }) => `TOKEN='${token}'
curl -N -H "Authorization: Bearer $TOKEN" '${sse_url}'`,
  },
  {
    title: "EventSource",
    about: "Follow in any page, without a library. It reconnects and goes on by itself.",
    code: ({ access: { sse_url, token }, name }) => `const url = ${quoted(sse_url)};
const token = ${quoted(token)};
const events = new EventSource(\`\${url}&token=\${token}\`);
events.addEventListener(${quoted(name)}, (event) => document.body.append(event.data));
events.addEventListener("missedevents", ({ data }) => document.body.append(\`(missed: \${data})\`));
for (const last of ["end", "cancel", "fail", "abandon"]) {
  events.addEventListener(last, () => {
    events.close();
    console.log(last);
  });
}`,
  },
  {
    title: "TypeScript",
    about: "The client for browsers and servers: every event once, over any number of connections.",
    code: ({ access: { sse_url, token } }) => `import { subscribe } from "tinistreamer/subscribe";

const url = ${quoted(sse_url)};
const token = ${quoted(token)};
for await (const { id, event, data } of subscribe({ url, token })) {
  console.log(id, event, data);
}`,
  },
  {
    title: "Python",
    about: "The same with threads; there is one for asyncio, too.",
    code: ({ access: { sse_url, token } }) => `from tinistreamer import subscribe

url = ${quoted(sse_url)}
token = ${quoted(token)}
with subscribe(url, token) as events:
    for event in events:
        print(event.id, event.event, event.data)`,
  },
  {
    title: "Rust",
    about: "The same on Tokio.",
    code: ({ access: { sse_url, token } }) => `use futures::TryStreamExt;

let url = ${quoted(sse_url)};
let token = ${quoted(token)};
let mut events = tinistreamer_client::subscribe(url, token).start()?;
while let Some(event) = events.try_next().await? {
    println!("{} {}", event.event, event.data);
}`,
  },
  {
    title: "Publish with curl",
    about: "Write an event. Your API key is in STREAMER_API_KEY.",
    code: ({ access: { sse_url }, key, name }) => `curl -H "X-API-KEY: $STREAMER_API_KEY" \\
  -d ${shell(JSON.stringify({ key, events: [{ event: name, data: "Hello" }] }))} \\
  '${new URL("../event/add", sse_url)}'`,
  },
];

export class Code {
  #key;
  /** @type {import("./api.js").Access | null} */
  #access = null;
  #asking = false;
  #many;

  /** @param {string} key */
  constructor(key) {
    this.#key = key;
    this.#many = new Many(key);
  }

  /** Requests a token that is valid as long as the stream exists. */
  async refresh() {
    if (this.#asking) return;
    this.#asking = true;
    this.#access = (await attempt(() => issueToken({ key: this.#key }))) ?? this.#access;
    this.#asking = false;
    redraw();
  }

  /** @param {string} name An event name of the stream. */
  render(name) {
    const access = this.#access;
    if (access === null) {
      if (!this.#asking) queueMicrotask(() => this.refresh());
      return html`<p class="empty">Asking for a token …</p>`;
    }
    const until = new Date(access.expires_at);
    const over = until.getTime() < Date.now();
    return html`<div class="snippets">
      <div class="bar"><span
        class="grow hint">${
          over
            ? "The token has expired."
            : `With a token for this stream that is good until ${until.toLocaleTimeString()}.`
        }</span>
        <button @click=${() => this.refresh()}>Fresh token</button></div>
      ${SNIPPETS.map(({ title, about, code }) =>
        snippet(title, about, code({ key: this.#key, name, access })),
      )}
      ${this.#many.render()}
    </div>`;
  }
}
