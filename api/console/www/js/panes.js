// Two subscribers of a stream side by side, with what their connections carry.

import { Client } from "./client.js";
import { count, plural } from "./format.js";
import { icon } from "./icons.js";
import { html, nothing } from "./lib.js";
import { redraw } from "./redraw.js";

/** The number of cells of the strip, which shows the newest numbers. */
const CELLS = 240;

const STATES = {
  idle: "not connected",
  connecting: "connecting",
  open: "live",
  cut: "cut",
  closed: "closed",
  finished: "complete",
};

export class Panes {
  #clients;

  /** @param {string} key */
  constructor(key) {
    this.#clients = [new Client("sse", key, redraw), new Client("ws", key, redraw)];
  }

  connect() {
    for (const client of this.#clients) client.connect();
  }

  close() {
    for (const client of this.#clients) client.close();
  }

  render() {
    return html`<div class="panes">${this.#clients.map(pane)}</div>`;
  }
}

/** @param {Client} client */
function pane(client) {
  const title = client.transport === "sse" ? "Server-sent events" : "WebSocket";
  return html`<section class="pane ${client.state}" aria-label=${title}
    data-transport=${client.transport}>
    <div class="between"><h3>${title}</h3><span class="state ${client.state}"><span
      class="dot"></span>${STATES[client.state]}</span></div>
    <div class="buttons">${buttons(client)}</div>
    <p class="why" role="status">${client.why || nothing}</p>
    ${strip(client)}
    <div class="text" tabindex="0" role="region"
      aria-label="Text, ${title}"><div>${client.text.slice(-4_000)}<span
      class="caret"></span></div></div>
    <details><summary>On the wire</summary><div class="wire" tabindex="0" role="region"
      aria-label="On the wire, ${title}"><pre>${client.wire}</pre></div></details>
  </section>`;
}

/** @param {Client} client */
function buttons(client) {
  if (client.isConnected)
    return html`<button class="warn"
      @click=${() => client.cut()}>${icon("cut")} Cut the connection</button>`;
  if (client.state === "finished")
    return html`<span class="hint">The stream is finished, and this client has all of it.</span>`;
  const label = client.connections === 0 ? "Connect" : "Reconnect";
  return html`<button class="primary"
    @click=${() => client.connect()}>${icon("link")} ${label}</button>
    <span class="hint">${
      client.after === null
        ? "from the first event"
        : html`after event <b>${Number(client.after.split("-")[1])}</b>`
    }</span>`;
}

/** Numbers as cells, each in the shade of its connection. @param {Client} client */
function strip({ numbers, connections }) {
  const to = numbers.last;
  const from = Math.max(numbers.first, to + 1 - CELLS);
  const cells = [];
  for (let number = from; number <= to; number++) {
    const by = numbers.by.get(number);
    const kind = by === undefined ? "gap" : by < 0 ? "missed" : `by-${by % 4}`;
    cells.push(html`<i class=${numbers.repeats.has(number) ? `${kind} repeat` : kind}></i>`);
  }
  const faults = numbers.gaps + numbers.repeats.size;
  const gaps = plural(numbers.gaps, "gap");
  const repeats = plural(numbers.repeats.size, "repeat");
  return html`<div class="strip">
    <p class="sum ${faults > 0 ? "bad" : ""}">
      <span>${
        numbers.count === 0 ? "no events yet" : html`<b>${count(numbers.first)} – ${count(to)}</b>`
      }</span>
      <span>${gaps}</span><span>${repeats}</span>
      ${numbers.missed > 0 ? html`<span>${count(numbers.missed)} no longer stored</span>` : nothing}
      <span>${plural(connections, "connection")}</span>
    </p>
    <div class="cells" role="img"
      aria-label="Event numbers ${from} to ${to}, ${gaps}, ${repeats}">${cells}</div>
  </div>`;
}
