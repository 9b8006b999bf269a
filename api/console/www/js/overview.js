// An overview of the broker, and the first steps for a new user.

/** @import { View } from "./app.js" */

import { createStream, listStreams } from "./api.js";
import { broker } from "./broker.js";
import { chart } from "./chart.js";
import { count, duration, plural, short, size } from "./format.js";
import { icon } from "./icons.js";
import { html, nothing } from "./lib.js";
import { attempt } from "./notice.js";
import { redraw } from "./redraw.js";
import { go, href } from "./route.js";
import { demo } from "./sample.js";

/** For a list the broker reads each stream. */
const INTERVAL_MS = 3_000;
const SHOWN = 6;

/** @implements {View} */
export class Overview {
  title = "Overview";
  /** @type {import("./api.js").StreamRow[] | null} */
  #streams = null;
  #timer = setInterval(() => document.visibilityState === "visible" && this.#load(), INTERVAL_MS);

  constructor() {
    this.#load();
  }

  close() {
    clearInterval(this.#timer);
  }

  async #load() {
    // The banner shows the failure.
    this.#streams = await listStreams("").catch(() => this.#streams);
    redraw();
  }

  render() {
    return html`<div class="heading">
        <h1>Overview</h1>
        ${
          broker.info === null
            ? nothing
            : html`<p class="aside">version ${broker.info.version} · up for ${duration(
                broker.info.activity.uptime,
              )}</p>`
        }
      </div>
      <div class="overview">
        <section class="card traffic" aria-labelledby="traffic"><h2
          id="traffic">Events a second</h2>${chart(broker.rates)}</section>
        ${this.#welcome()}
        <dl class="tiles">${broker.info === null ? nothing : this.#tiles(broker.info)}</dl>
        ${this.#list()}
      </div>`;
  }

  #tiles(/** @type {import("./api.js").BrokerInfo} */ { redis, store, delivery, activity }) {
    const { sse, ws, poll, ndjson } = activity.clients;
    const others = [
      poll > 0 ? `, ${count(poll)} polling` : "",
      ndjson > 0 ? `, ${count(ndjson)} NDJSON` : "",
    ].join("");
    const words = {
      ready: "answers",
      "store-unavailable": "does not answer",
      "shutting-down": "stopping",
      unreachable: "unknown",
      unknown: "…",
    };
    return html`
      ${tile(
        "Store",
        store,
        html`<span class="health ${broker.health}"><span class="dot"></span>${words[broker.health]}</span>`,
      )}
      ${tile(
        "Delivery",
        delivery,
        redis.static > 0
          ? plural(redis.static + redis.streaming, "Redis connection")
          : "in this process",
      )}
      ${tile(
        html`<a href=${href({ page: "clients", key: "", tag: "" })}>Clients</a>`,
        short(redis.streaming_in_use),
        html`<progress aria-label="Connections in use" max=${redis.streaming_max}
          value=${redis.streaming_in_use}></progress>
        ${short(redis.streaming_max - redis.streaming_in_use)} free · ${count(sse)} SSE, ${count(
          ws,
        )} WebSocket${others}`,
      )}
      ${tile(
        "Active streams",
        this.#streams === null ? "…" : short(this.#streams.length),
        "on all nodes",
      )}
      ${tile("Events in", short(activity.events_in), size(activity.bytes_in))}
      ${tile("Events out", short(activity.events_out), size(activity.bytes_out))}`;
  }

  #welcome() {
    return html`<section class="card welcome" aria-labelledby="welcome">
      <h2 id="welcome">See it work</h2>
      <ol>
        <li>The console creates a stream, and types an answer into it, token by token.</li>
        <li>Two clients follow it, over SSE and WebSocket.</li>
        <li>Cut a connection, wait, and reconnect: no event is missing, and none comes twice.</li>
      </ol>
      <button class="primary" @click=${startDemo}>${icon("play")} Start a demo stream</button>
    </section>`;
  }

  #list() {
    if (this.#streams === null) return nothing;
    const shown = this.#streams.slice(0, SHOWN);
    return html`<section class="card active-streams" aria-labelledby="active">
      <div class="between"><h2 id="active">Active streams</h2><a
        href=${href({ page: "streams" })}>All streams</a></div>
      ${
        shown.length === 0
          ? html`<p class="empty">None at the moment.</p>`
          : html`<ul class="rows">${shown.map(
              ({ key, length, ttl }) => html`
        <li><a href=${href({ page: "stream", key, tab: "events" })}><bdi>${key}</bdi></a>
          <span>${plural(length, "event")}</span><span>${duration(ttl)}</span></li>`,
            )}</ul>`
      }
    </section>`;
  }
}

/**
 * @param {unknown} label
 * @param {unknown} figure
 * @param {unknown} more
 */
const tile = (label, figure, more) =>
  html`<div class="tile card"><dt>${label}</dt><dd class="figure">${figure}</dd><dd
    class="more">${more}</dd></div>`;

async function startDemo() {
  const key = `demo-${Math.random().toString(36).slice(2, 8)}`;
  if (await attempt(() => createStream({ key, max_events: 10_000 }))) {
    demo.add(key);
    go({ page: "stream", key, tab: "clients" });
  }
}
