// Requests the API key, and tests it before it is stored.

/** @import { View } from "./app.js" */

import { ApiError, brokerInfo } from "./api.js";
import { broker } from "./broker.js";
import { html, nothing } from "./lib.js";
import { redraw } from "./redraw.js";
import { apiKey } from "./session.js";

/** @implements {View} */
export class SignIn {
  title = "API key";
  #problem = broker.refused ? "The broker no longer accepts this API key" : "";
  #asking = false;

  render() {
    return html`<form class="card sign-in" @submit=${this.#submit}>
      <h1>API key</h1>
      <p>The console does what a backend does, and needs a backend's key: one of
        <code>STREAMER_API_KEY</code>. A broker that was started without one has printed it in its
        terminal.</p>
      <div class="field"><label for="api-key">Key</label>
      <input id="api-key" name="key" type="password" autocomplete="off" spellcheck="false" required
        autofocus
        aria-describedby="api-key-problem"
        aria-invalid=${this.#problem === "" ? "false" : "true"}></div>
      <p id="api-key-problem" class="problem" role="alert">${this.#problem || nothing}</p>
      <button class="primary" ?disabled=${this.#asking}>Open the console</button>
      <p class="hint">The key stays in this tab until you close it.</p>
    </form>`;
  }

  close() {}

  #submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const form = event.currentTarget;
    if (!(form instanceof HTMLFormElement) || this.#asking) return;
    const key = String(new FormData(form).get("key")).trim();
    if (!/^[\x21-\x7e]+$/.test(key)) {
      this.#problem = "An API key has printable characters and no spaces";
      redraw();
      return;
    }
    this.#asking = true;
    this.#problem = "";
    redraw();
    try {
      await brokerInfo(key);
      apiKey.set(key);
      broker.refresh();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#problem =
        error.code === "unauthorized" ? "The broker does not accept this key" : error.message;
    }
    this.#asking = false;
    redraw();
  };
}
