// Short messages at the edge of the page: successes and errors.

import { ApiError } from "./api.js";
import { broker } from "./broker.js";
import { html, repeat } from "./lib.js";
import { redraw } from "./redraw.js";

const SHOWN_MS = 6_000;

/** @type {{id: number, kind: "good" | "bad", text: string}[]} */
let notices = [];
let lastId = 0;

/**
 * @param {string} text
 * @param {"good" | "bad"} [kind]
 */
export function notice(text, kind = "good") {
  const id = ++lastId;
  notices = [...notices.slice(-3), { id, kind, text }];
  redraw();
  setTimeout(() => dismiss(id), SHOWN_MS);
}

/** @param {number} id */
function dismiss(id) {
  notices = notices.filter((notice) => notice.id !== id);
  redraw();
}

/**
 * Runs an action of the user, and shows its error.
 * @template T
 * @param {() => Promise<T>} action
 * @returns {Promise<T | undefined>}
 */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    broker.notice(error);
    notice(error.message, "bad");
    return undefined;
  }
}

export const noticeList = () => html`
  <div class="notices" role="status" aria-live="polite">
    ${repeat(
      notices,
      ({ id }) => id,
      ({ id, kind, text }) => html`
      <div class="notice ${kind}">
        <p>${text}</p>
        <button class="plain" aria-label="Dismiss" @click=${() => dismiss(id)}>×</button>
      </div>`,
    )}
  </div>`;
