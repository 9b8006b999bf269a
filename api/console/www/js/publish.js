// Publishing in the console: an answer that types itself, one event, or a batch.

import { publish } from "./api.js";
import { count, plural } from "./format.js";
import { icon } from "./icons.js";
import { html, live, nothing } from "./lib.js";
import { attempt, notice } from "./notice.js";
import { redraw } from "./redraw.js";
import { SAMPLE } from "./sample.js";
import { Typist } from "./typist.js";

/** @typedef {"type" | "one" | "batch"} Way */

/** @type {[Way, string][]} */
const WAYS = [
  ["type", "Type an answer"],
  ["one", "One event"],
  ["batch", "A batch"],
];

const BATCH = `{"event": "status", "data": {"step": 1, "of": 2}}
{"event": "status", "data": {"step": 2, "of": 2}}`;

export class Publisher {
  #key;
  /** @type {Way} */
  #way = "type";
  /** @type {Typist | null} */
  #typist = null;
  #rate = 12;
  #endAfter = false;
  #problem = "";
  #onTyped;

  /**
   * @param {string} key
   * @param {(endAfter: boolean) => void} onTyped Called when an answer is complete.
   */
  constructor(key, onTyped) {
    this.#key = key;
    this.#onTyped = onTyped;
  }

  close() {
    this.#typist?.stop();
  }

  /** Types the sample, like the button. */
  demonstrate() {
    this.#type(SAMPLE, "token");
  }

  /** @param {boolean} active Whether the stream takes events. */
  render(active) {
    return html`<section class="card publish" aria-labelledby="publish">
      <h2 id="publish">Publish</h2>
      <div class="ways" role="radiogroup" aria-labelledby="publish">${WAYS.map(
        ([way, label]) => html`
        <label><input type="radio" name="way" .checked=${live(way === this.#way)} @change=${() => {
          this.#way = way;
          this.#problem = "";
          redraw();
        }}><span>${label}</span></label>`,
      )}</div>
      ${
        active
          ? this.#form()
          : html`<p class="empty">The stream is finished and takes no more events.</p>`
      }
    </section>`;
  }

  #form() {
    if (this.#way === "type") return this.#typing();
    return this.#way === "one" ? this.#one() : this.#batch();
  }

  #typing() {
    const typist = this.#typist;
    const running = typist?.running === true;
    return html`<form @submit=${this.#onType}>
      <div class="field"><label for="answer">Answer</label>
      <textarea id="answer" name="text" rows="7" required ?readonly=${running}
        .defaultValue=${SAMPLE}></textarea></div>
      <div class="pair">
        <div class="field"><label for="token-name">Event name</label><input id="token-name"
          name="event" .defaultValue=${"token"} required maxlength="128" ?readonly=${running}></div>
        <div class="field"><label for="rate"><b>${this.#rate}</b> tokens a second</label>
          <input id="rate" type="range" min="1" max="200" .value=${String(this.#rate)} @input=${(
            /** @type {Event & {target: HTMLInputElement}} */ { target },
          ) => {
            this.#rate = Number(target.value);
            if (this.#typist) this.#typist.rate = this.#rate;
            redraw();
          }}></div>
      </div>
      <label class="check"><input type="checkbox" .checked=${live(this.#endAfter)} @change=${() => {
        this.#endAfter = !this.#endAfter;
      }}> End the stream after the answer</label>
      <div class="buttons">
        ${
          running
            ? html`<button type="button" class="warn"
              @click=${() => typist.stop()}>${icon("stop")} Stop</button>`
            : html`<button class="primary">${icon("play")} Type</button>`
        }
        ${
          typist === null
            ? nothing
            : html`<progress aria-label="Tokens written" max=${typist.total}
              value=${typist.written}></progress>
          <span class="hint">${count(typist.written)} of ${count(typist.total)}</span>`
        }
      </div>
      <p class="problem" role="status">${typist?.trouble || nothing}</p>
    </form>`;
  }

  #one() {
    return html`<form @submit=${this.#onOne}>
      <div class="field"><label for="name">Event name</label><input id="name" name="event"
        .defaultValue=${"message"} required maxlength="128"></div>
      <div class="field"><label for="data">Data</label><textarea id="data" name="data" rows="5"
        placeholder="Text, or JSON"></textarea></div>
      <label class="check"><input type="checkbox" name="json"> It is JSON</label>
      <p class="problem" role="alert">${this.#problem || nothing}</p>
      <div class="buttons"><button class="primary">Publish</button></div>
    </form>`;
  }

  #batch() {
    return html`<form @submit=${this.#onBatch}>
      <div class="field"><label
        for="batch">Events, one in a line: <code>{"event", "data"?}</code></label>
      <textarea id="batch" name="lines" class="code" rows="8" spellcheck="false" required
        .defaultValue=${BATCH}></textarea></div>
      <p class="problem" role="alert">${this.#problem || nothing}</p>
      <div class="buttons"><button class="primary">Publish all or nothing</button></div>
    </form>`;
  }

  #onType = (/** @type {SubmitEvent} */ event) => {
    const fields = taken(event);
    // Browsers return line breaks as CR LF.
    this.#type(String(fields.get("text")).replaceAll("\r\n", "\n"), String(fields.get("event")));
  };

  async #type(/** @type {string} */ text, /** @type {string} */ name) {
    const typist = new Typist({ key: this.#key, text, name, rate: this.#rate }, redraw);
    this.#typist?.stop();
    this.#typist = typist;
    await attempt(() => typist.type());
    if (typist.written === typist.total) this.#onTyped(this.#endAfter);
  }

  #onOne = (/** @type {SubmitEvent} */ event) => {
    const fields = taken(event);
    const text = String(fields.get("data")).replaceAll("\r\n", "\n");
    const name = JSON.stringify(fields.get("event"));
    if (text === "") return this.#publish([`{"event": ${name}}`]);
    const problem = fields.has("json") ? problemOf(text) : "";
    return this.#publish(
      [`{"event": ${name}, "data": ${fields.has("json") ? text : JSON.stringify(text)}}`],
      problem && `Data: ${problem}`,
    );
  };

  #onBatch = (/** @type {SubmitEvent} */ event) => {
    const lines = String(taken(event).get("lines")).split(/\r?\n/);
    const problems = lines.map((line, at) =>
      line.trim() === "" ? "" : problemOf(line) && `Line ${at + 1}: ${problemOf(line)}`,
    );
    const written = lines.filter((line) => line.trim() !== "");
    return this.#publish(
      written,
      problems.find((problem) => problem !== ""),
    );
  };

  /**
   * @param {string[]} events Each as JSON.
   * @param {string} [problem] The reason why they can't be sent.
   */
  async #publish(events, problem = "") {
    this.#problem = problem;
    redraw();
    if (problem !== "") return;
    const written = await attempt(() => publish(this.#key, events));
    if (written) notice(`${plural(written.num_events, "event")} written`);
  }
}

/** The reason why a text is not JSON, or an empty string. @param {string} text */
function problemOf(text) {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** The fields of a submitted form. @param {SubmitEvent} event */
function taken(event) {
  event.preventDefault();
  return new FormData(/** @type {HTMLFormElement} */ (event.currentTarget));
}
