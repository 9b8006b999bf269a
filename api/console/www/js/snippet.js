// A piece of code to copy.

import { icon } from "./icons.js";
import { html } from "./lib.js";
import { notice } from "./notice.js";

/** Quotes a text for a shell. A key may contain quotes and `$`. The broker's URLs do not. */
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
    // Browsers give no clipboard to pages over plain HTTP from another host.
    notice("This browser does not let the page copy: select the text and copy it", "bad");
  }
}
