// The active streams of all nodes, and the streams that have finished since.

/** @import { View } from "./app.js" */

import { ApiError, createStream, listStreams, streamInfo } from "./api.js";
import { count, duration, plural } from "./format.js";
import { icon } from "./icons.js";
import { html, live, nothing, repeat } from "./lib.js";
import { attempt, notice } from "./notice.js";
import { redraw } from "./redraw.js";
import { go, href } from "./route.js";

const INTERVAL_MS = 2_000;
/** How many streams are shown. The search finds others. */
const DRAWN = 500;
/** How many finished streams stay in the list while they are stored. */
const FINISHED = 50;

/** @typedef {import("./api.js").StreamRow & {at: number}} Row `at`: the time of `ttl`. */

/** @implements {View} */
export class StreamList {
  title = "Streams";
  #pattern = "";
  /** @type {Map<string, Row> | null} */
  #rows = null;
  /** @type {Map<string, Row>} */
  #finished = new Map();
  #problem = "";
  #requests = 0;
  #timers = [
    setInterval(() => document.visibilityState === "visible" && this.#load(), INTERVAL_MS),
    setInterval(redraw, 1_000),
  ];

  constructor() {
    this.#load();
  }

  close() {
    for (const timer of this.#timers) clearInterval(timer);
  }

  async #load() {
    const request = ++this.#requests;
    const pattern = this.#pattern;
    try {
      const list = await listStreams(globOf(pattern));
      // The response to an earlier pattern may come after that to a later one.
      if (request !== this.#requests) return;
      const at = Date.now();
      const rows = new Map(list.map((row) => [row.key, { ...row, at }]));
      const gone = [...(this.#rows?.keys() ?? [])].filter((key) => !rows.has(key));
      this.#rows = rows;
      this.#problem = "";
      for (const key of rows.keys()) this.#finished.delete(key);
      await this.#loadFinished(gone.slice(0, FINISHED));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 400) this.#problem = error.message;
    }
    redraw();
  }

  /** Requests the status of the streams that are no longer in the list. */
  async #loadFinished(/** @type {string[]} */ keys) {
    const at = Date.now();
    const infos = await Promise.all(keys.map((key) => streamInfo(key).catch(() => null)));
    for (const info of infos)
      if (info !== null && info.status !== "active") this.#finished.set(info.key, { ...info, at });
    for (const [key, { ttl, at }] of this.#finished)
      if (at + ttl * 1_000 < Date.now()) this.#finished.delete(key);
    while (this.#finished.size > FINISHED)
      this.#finished.delete(this.#finished.keys().next().value ?? "");
  }

  render() {
    const rows = this.#rows;
    const all = rows === null ? [] : [...rows.values(), ...this.#finished.values()];
    return html`<div class="heading"><h1>Streams</h1>
        <p class="aside">${
          rows === null
            ? ""
            : `${plural(rows.size, "active stream")}${this.#pattern === "" ? "" : " found"}`
        }</p></div>
      <div class="streams">
        <section class="card table" aria-label="Active streams">
          <div class="bar"><label class="search">${icon("search")}<input type="search"
            aria-label="Search" placeholder="Search: part of a key, or a pattern (*, ?, […])"
            spellcheck="false" .value=${live(this.#pattern)} @input=${this.#onSearch}></label></div>
          ${
            this.#problem === ""
              ? nothing
              : html`<p class="problem" role="alert">${this.#problem}</p>`
          }
          ${all.length > 0 ? table(all) : html`<p class="empty">${this.#none()}</p>`}
          ${
            all.length > DRAWN
              ? html`<p class="hint">The first ${count(DRAWN)} are shown. Search for others.</p>`
              : nothing
          }
        </section>
        ${creation}
      </div>`;
  }

  #none() {
    if (this.#rows === null) return this.#problem === "" ? "Looking …" : nothing;
    if (this.#pattern === "") return "No stream is active. Create one here, or from your backend.";
    return html`No active stream's key has this in it.
      <a href=${href({ page: "stream", key: this.#pattern, tab: "events" })}
        >Open “<bdi>${this.#pattern}</bdi>”</a>, which may be finished.`;
  }

  #onSearch = (/** @type {Event & {target: HTMLInputElement}} */ { target }) => {
    this.#pattern = target.value;
    this.#rows = null;
    this.#finished.clear();
    this.#load();
  };
}

/** A text without a wildcard matches all keys that contain it. */
const globOf = (/** @type {string} */ text) =>
  text === "" || /[*?[]/.test(text) ? text : `*${text}*`;

const table = (/** @type {Row[]} */ rows) => html`<table>
  <thead><tr><th scope="col">Key</th><th scope="col">Status</th><th scope="col"
    class="figure">Events</th><th scope="col" class="figure">Lives for</th></tr></thead>
  <tbody>${repeat(
    rows.slice(0, DRAWN),
    ({ key }) => key,
    ({ key, status, length, ttl, at }) => html`
    <tr><th scope="row"><a
      href=${href({ page: "stream", key, tab: "events" })}><bdi>${key}</bdi></a></th>
      <td><span class="badge ${status}">${status}</span></td>
      <td class="figure">${count(length)}</td>
      <td class="figure">${duration(ttl - (Date.now() - at) / 1_000)}</td></tr>`,
  )}</tbody>
</table>`;

const creation = html`<form class="card create" aria-labelledby="create" @submit=${onCreate}>
  <h2 id="create">Create a stream</h2>
  <div class="field"><label for="key">Key</label><input id="key" name="key" required maxlength="256"
    autocomplete="off" spellcheck="false" placeholder="chat-42"></div>
  <div class="pair">
    <div class="field"><label for="ttl">Lives for (s)</label><input id="ttl" name="ttl"
      type="number" min="1" max="604800" placeholder="default"></div>
    <div class="field"><label for="max-events">Keeps (events)</label><input id="max-events"
      name="max_events" type="number" min="1" max="1000000" placeholder="default"></div>
  </div>
  <div class="buttons"><button class="primary">${icon("plus")} Create and open</button></div>
</form>`;

async function onCreate(/** @type {SubmitEvent} */ event) {
  event.preventDefault();
  const fields = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget));
  const [ttl, maxEvents] = [fields.get("ttl"), fields.get("max_events")];
  const key = String(fields.get("key"));
  const options = {
    key,
    ...(ttl ? { ttl: Number(ttl) } : {}),
    ...(maxEvents ? { max_events: Number(maxEvents) } : {}),
  };
  if (await attempt(() => createStream(options))) {
    notice("The stream is there");
    go({ page: "stream", key, tab: "events" });
  }
}
