// A piece of code to copy.

import { icon } from "./icons.js";
import { html } from "./lib.js";
import { notice } from "./notice.js";

/** For a shell: a key may hold quotes, and `$`. The URLs that the broker makes hold neither. */
export const shell = (/** @type {string} */ text) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * @param {string} title
 * @param {string} about
 * @param {string} text
 */
export const snippet = (title, about, text) => html`<section class="snippet" aria-label=${title}>
  <div class="between"><h3>${title}</h3><button aria-label="Copy ${title}"
    @click=${() => copy(text)}>${icon("copy")} Copy</button></div>
  <p class="hint">${about}</p>
  <pre class="code" tabindex="0" aria-label="${title} snippet">${text}</pre>
</section>`;

async function copy(/** @type {string} */ text) {
  try {
    await navigator.clipboard.writeText(text);
    notice("Copied");
  } catch {
    // Browsers have no clipboard for pages that came over plain HTTP from another host.
    notice("This browser does not let the page copy: select the text and copy it", "bad");
  }
}
