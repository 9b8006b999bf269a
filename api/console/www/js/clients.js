// The subscribers that are connected to this node, and a way to disconnect one.

/** @import { View } from "./app.js" */
/** @import { ClientRow } from "./api.js" */

import { ApiError, disconnectClient, listClients } from "./api.js";
import { broker } from "./broker.js";
import { count, duration, plural, size } from "./format.js";
import { icon } from "./icons.js";
import { html, live, nothing, repeat } from "./lib.js";
import { attempt, notice } from "./notice.js";
import { redraw } from "./redraw.js";
import { href, route } from "./route.js";

/** For a list the broker reads each stream that has subscribers. */
const INTERVAL_MS = 2_000;
/** How many subscribers are shown. The search finds others. */
const DRAWN = 500;
/** How many streams of a subscriber are named. */
const NAMED = 3;
const TRANSPORTS = { sse: "SSE", ws: "WebSocket", poll: "polling", ndjson: "NDJSON" };

/** @implements {View} */
export class ClientList {
  title = "Clients";
  /** @type {ClientRow[] | null} */
  #rows = null;
  #problem = "";
  #requests = 0;
  /** The search that the list belongs to. */
  #of = "";
  /** The subscriber in the dialog. @type {ClientRow | null} */
  #chosen = null;
  #timers = [
    setInterval(() => document.visibilityState === "visible" && this.#load(), INTERVAL_MS),
    setInterval(redraw, 1_000),
  ];

  close() {
    for (const timer of this.#timers) clearInterval(timer);
  }

  get #filter() {
    const at = route();
    return at.page === "clients" ? { key: at.key, tag: at.tag } : { key: "", tag: "" };
  }

  async #load() {
    const request = ++this.#requests;
    try {
      const rows = await listClients(this.#filter);
      // The response to an earlier search may come after that to a later one.
      if (request !== this.#requests) return;
      this.#rows = rows;
      this.#problem = "";
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      broker.notice(error);
      if (error.status === 400) this.#problem = error.message;
    }
    redraw();
  }

  render() {
    const filter = this.#filter;
    const of = JSON.stringify(filter);
    if (of !== this.#of) {
      this.#of = of;
      this.#rows = null;
      this.#load();
    }
    const rows = this.#rows;
    const all = filter.key === "" && filter.tag === "";
    return html`<div class="heading"><h1>Clients</h1>
        <p class="aside">${
          rows === null ? "" : `${plural(rows.length, "client")} of this node${all ? "" : " found"}`
        }</p></div>
      <section class="card table clients" aria-label="Clients">
        <div class="bar">
          ${search("key", "Key of a stream", filter)}${search("tag", "Tag", filter)}</div>
        ${
          this.#problem === ""
            ? nothing
            : html`<p class="problem" role="alert">${this.#problem}</p>`
        }
        ${
          rows !== null && rows.length > 0
            ? this.#table(rows)
            : html`<p class="empty">${this.#none(all)}</p>`
        }
        ${
          rows !== null && rows.length > DRAWN
            ? html`<p class="hint">The first ${count(DRAWN)} are shown. Search for others.</p>`
            : nothing
        }
      </section>
      ${this.#confirmation()}`;
  }

  #none(/** @type {boolean} */ all) {
    if (this.#rows === null) return this.#problem === "" ? "Looking …" : nothing;
    return all ? "Nobody is connected to this node." : "No client of this node is found.";
  }

  #table(/** @type {ClientRow[]} */ rows) {
    return html`<table>
      <thead><tr><th scope="col">Client</th><th scope="col">Streams</th><th scope="col"
        class="figure sent">Sent</th>
        <th scope="col" class="figure">Behind</th><th scope="col"><span
          class="unseen">Disconnect</span></th></tr></thead>
      <tbody>${repeat(
        rows.slice(0, DRAWN),
        ({ id }) => id,
        (row) => html`<tr>
          <th scope="row"><bdi>${row.name ?? "without a name"}</bdi>
            ${row.tags.map(
              (tag) =>
                html` <a class="badge"
                  href=${href({ page: "clients", key: "", tag })}><bdi>${tag}</bdi></a>`,
            )}
            <p class="more">${described(row)}</p></th>
          <td>${streams(row)}</td>
          <td class="figure sent">${plural(row.events, "event")}<p
            class="more">${size(row.bytes)}</p></td>
          <td class="figure">${row.lag === null ? "?" : count(row.lag)}</td>
          <td class="figure"><button class="plain" title="Disconnect"
            aria-label="Disconnect ${nameOf(row)}"
            @click=${() => this.#choose(row)}>${icon("cut")}</button></td>
        </tr>`,
      )}</tbody>
    </table>`;
  }

  #choose(/** @type {ClientRow} */ row) {
    this.#chosen = row;
    redraw();
    const dialog = document.getElementById("disconnect");
    if (dialog instanceof HTMLDialogElement) dialog.showModal();
  }

  #confirmation() {
    const row = this.#chosen;
    return html`<dialog id="disconnect" class="card" aria-labelledby="disconnect-title"
      @close=${this.#onClose}>
      <form method="dialog">
        <h2 id="disconnect-title">Disconnect ${
          row === null ? "" : html`<bdi>${nameOf(row)}</bdi>`
        }?</h2>
        <p class="hint">Its connection is closed now. While its token is good it may come back, and
          EventSource does so by itself.</p>
        <div class="buttons"><button class="warn"
          value="disconnect">${icon("cut")} Disconnect</button><button
          value="keep">Keep</button></div>
      </form>
    </dialog>`;
  }

  #onClose = async (
    /** @type {Event & {currentTarget: HTMLDialogElement}} */ { currentTarget: dialog },
  ) => {
    const row = this.#chosen;
    const isMeant = dialog.returnValue === "disconnect";
    // Escape keeps the dialog's previous return value.
    dialog.returnValue = "";
    if (row === null || !isMeant) return;
    if (await attempt(() => disconnectClient(row.id))) notice("The client is disconnected");
    this.#load();
  };
}

const nameOf = (/** @type {ClientRow} */ { name, id }) => name ?? `client ${id}`;

/** The transport, the address and the time of a connection. */
function described(/** @type {ClientRow} */ { transport, address, since }) {
  const how = Object.entries(TRANSPORTS).find(([name]) => name === transport)?.[1] ?? transport;
  const age = duration((Date.now() - Date.parse(since)) / 1_000);
  return [how, ...(address === undefined ? [] : [address]), `for ${age}`].join(" · ");
}

const streams = (/** @type {ClientRow} */ { keys, filter }) => html`
  <ul>${keys
    .slice(0, NAMED)
    .map(
      (key) =>
        html`<li><a href=${href({ page: "stream", key, tab: "events" })}><bdi>${key}</bdi></a></li>`,
    )}</ul>
  ${
    keys.length > NAMED
      ? html`<p class="more" title=${keys.join("\n")}>and ${count(keys.length - NAMED)} more</p>`
      : nothing
  }
  ${filter === undefined ? nothing : html`<p class="more">only <bdi>${filter}</bdi></p>`}`;

/**
 * A field whose text is a part of the address, so that users can link to the result.
 * @param {"key" | "tag"} what
 * @param {string} label
 * @param {{key: string, tag: string}} filter
 */
function search(what, label, filter) {
  const onInput = (/** @type {Event & {target: HTMLInputElement}} */ { target }) =>
    location.replace(href({ page: "clients", ...filter, [what]: target.value }));
  return html`<label class="search">${icon("search")}<input type="search" aria-label=${label}
    placeholder=${label} spellcheck="false"
    .value=${live(filter[what])} @input=${onInput}></label>`;
}
