// One stream: its events, its text, its subscribers, and forms to publish events.

/** @import { View } from "./app.js" */

import {
  ApiError,
  createStream,
  finishStream,
  readSignals,
  sendSignal,
  streamInfo,
} from "./api.js";
import { broker } from "./broker.js";
import { Code } from "./code.js";
import { EventList } from "./eventlist.js";
import { Follower } from "./follower.js";
import { count, duration, plural } from "./format.js";
import { icon } from "./icons.js";
import { html, live, nothing } from "./lib.js";
import { EventLog, entryOf, LAST_NAMES, OWN_NAMES } from "./log.js";
import { attempt, notice } from "./notice.js";
import { Panes } from "./panes.js";
import { Publisher } from "./publish.js";
import { redraw } from "./redraw.js";
import { href, route, TABS } from "./route.js";
import { demo } from "./sample.js";
import { Assembled } from "./text.js";

const INTERVAL_MS = 1_000;

const TAB_NAMES = { events: "Events", text: "Text", clients: "Clients", code: "Code" };

/** How many signals the page shows. */
const SHOWN_SIGNALS = 8;

/** What was done to a stream that somebody has finished here. */
const FINISHED = {
  end: "The stream has ended",
  cancel: "The stream is cancelled",
  fail: "The stream has failed",
};

/**
 * Why a stream was finished, in a line.
 * @param {import("./api.js").Reason | null} reason
 */
function reasonOf(reason) {
  const { code, message, reason: why, by } = reason ?? {};
  const what = [code, message, why].filter(Boolean).join(": ");
  return by ? `${what || "finished"}, by ${by}` : what;
}

/** The texts for the states of the page's own subscriber. */
const FOLLOWING = {
  connecting: "connecting …",
  live: "live",
  waiting: "waiting to come back",
  finished: "complete",
  gone: "gone",
};

/** @implements {View} */
export class StreamPage {
  title;
  #key;
  #log = new EventLog();
  #list = new EventList(this.#log);
  #assembled = new Assembled();
  /** The name of the events whose text is shown. Empty for all. */
  #textOf = "";
  #panes;
  #publisher;
  #code;
  /** @type {Follower} */
  #follower;
  /** @type {import("./follower.js").FollowState} */
  #state = "connecting";
  #why = "";
  /** @type {(import("./api.js").StreamInfo & {at: number}) | null} */
  #info = null;
  /** @type {import("./api.js").Signal[]} */
  #signals = [];
  #timers = [
    setInterval(() => document.visibilityState === "visible" && this.#load(), INTERVAL_MS),
    setInterval(redraw, 1_000),
  ];

  /** @param {string} key */
  constructor(key) {
    this.title = key;
    this.#key = key;
    this.#code = new Code(key);
    this.#panes = new Panes(key);
    this.#publisher = new Publisher(key, (endAfter) => endAfter && this.#finish("end"));
    this.#follower = this.#follow();
    this.#load();
    if (demo.delete(key)) {
      this.#panes.connect();
      this.#publisher.demonstrate();
    }
  }

  close() {
    for (const timer of this.#timers) clearInterval(timer);
    this.#follower.close();
    this.#panes.close();
    this.#publisher.close();
  }

  #follow() {
    const follower = new Follower(this.#key, {
      onFrames: (frames) => {
        this.#log.add(frames.map(entryOf));
        if (frames.some(({ event }) => LAST_NAMES.includes(event))) this.#load();
        redraw();
      },
      onState: (state, why = "") => {
        this.#state = state;
        this.#why = why;
        redraw();
      },
      onReplaced: () => this.#startAnew(),
    });
    follower.follow();
    return follower;
  }

  /** Another stream has replaced this one at the key. */
  #startAnew() {
    this.#log.clear();
    this.#list.reset();
    this.#panes.close();
    this.#panes = new Panes(this.#key);
    this.#code = new Code(this.#key);
    this.#signals = [];
    this.#load();
  }

  async #load() {
    try {
      const info = { ...(await streamInfo(this.#key)), at: Date.now() };
      // After the end of this stream, another one was created at its key.
      const replaced = this.#info !== null && this.#info.created_at !== info.created_at;
      this.#info = info;
      this.#follower.compare(info.last_id);
      if (!replaced) await this.#loadSignals(info.generation);
      if (replaced || (this.#state === "gone" && info.status === "active")) {
        this.#follower.close();
        this.#startAnew();
        this.#follower = this.#follow();
      }
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      broker.notice(error);
      if (error.code === "stream-not-found") this.#info = null;
    }
    redraw();
  }

  /** Takes the signals since the last time. There may be more, which come the next time. */
  async #loadSignals(/** @type {string} */ generation) {
    const { generation: theirs, signals } = await readSignals(
      this.#key,
      this.#signals.at(-1)?.seq ?? 0,
    );
    if (theirs === generation) this.#signals = [...this.#signals, ...signals].slice(-SHOWN_SIGNALS);
  }

  render() {
    const active = this.#info?.status === "active";
    return html`
      <nav class="crumbs" aria-label="Breadcrumb"><a
        href="#/streams">${icon("back")} Streams</a></nav>
      <div class="heading stream"><h1><bdi>${this.#key}</bdi></h1>${this.#badge()}
        <p class="aside">${this.#facts()}${this.#signalled()}</p>
        <div class="buttons">${this.#actions()}</div>
      </div>
      <div class="stream-page">
        <section class="card main" aria-label="Stream">
          ${this.#tabs()}
          <div class="tab" role="tabpanel" aria-label=${TAB_NAMES[this.#tab]}
            data-tab=${this.#tab}>${this.#content()}</div>
        </section>
        ${this.#publisher.render(active)}
      </div>`;
  }

  get #tab() {
    const at = route();
    return at.page === "stream" ? at.tab : "events";
  }

  #actions() {
    if (this.#info?.status === "active") {
      const { stop_requested_at: stopping } = this.#info;
      return html`<button ?disabled=${stopping !== null}
          @click=${this.#askToStop}>${icon("stop")} Ask to stop</button>
        <button @click=${() => this.#finish("end")}>${icon("check")} End</button>
        <button class="warn"
          @click=${() => this.#finish("cancel")}>${icon("stop")} Cancel</button>
        <button class="warn"
          @click=${() => this.#finish("fail")}>${icon("warning")} Fail</button>`;
    }
    if (this.#info === null && this.#state !== "gone") return nothing;
    return html`<button class="primary"
      @click=${this.#create}>${icon("plus")} New stream at this key</button>`;
  }

  #badge() {
    if (this.#info !== null)
      return html`<span class="badge ${this.#info.status}">${this.#info.status}</span>${
        this.#info.status === "active" && this.#info.stop_requested_at !== null
          ? html`<span class="badge stopping">stopping</span>`
          : nothing
      }`;
    return this.#state === "gone" ? html`<span class="badge gone">gone</span>` : nothing;
  }

  #facts() {
    const info = this.#info;
    if (info === null)
      return this.#state === "gone" ? "There is no stream at this key, or it has expired." : "";
    const left = info.ttl - (Date.now() - info.at) / 1_000;
    const { clients: here, clients_total: total } = info;
    const clients =
      total === null || total === here
        ? plural(here, "client")
        : `${plural(here, "client")} here, about ${count(total)} in all`;
    const since = (/** @type {number} */ ms) => duration((Date.now() - ms) / 1_000);
    const why = reasonOf(info.reason);
    return html`${why === "" ? nothing : html`<span class="reason">${why}</span> · `}${plural(
      info.length,
      "event",
    )} stored · lives for ${duration(left)} · last write
      ${since(Number(info.last_id.split("-")[0]))} ago · created
      ${since(Date.parse(info.created_at))} ago${this.#deadlines(info)} ·
      <a href=${href({ page: "clients", key: this.#key, tag: "" })}>${clients}</a>`;
  }

  /**
   * Until when the producer has to report.
   * @param {import("./api.js").StreamInfo} info
   */
  #deadlines(info) {
    const left = (/** @type {string} */ at) => duration((Date.parse(at) - Date.now()) / 1_000);
    const { lease_expires_at: lease, stall_expires_at: stall } = info;
    return html`${lease === null ? nothing : html` · lease ends in ${left(lease)}`}${
      stall === null ? nothing : html` · must write in ${left(stall)}`
    }`;
  }

  /** The newest signals to the producer. */
  #signalled() {
    if (this.#signals.length === 0) return nothing;
    const each = this.#signals.map(
      ({ seq, name, by }) => `${seq}. ${name}${by === null ? "" : ` from ${by}`}`,
    );
    return html` · <span class="signals">signals: ${each.join(", ")}</span>`;
  }

  #tabs() {
    const at = this.#tab;
    const onKey = (/** @type {KeyboardEvent & {currentTarget: HTMLElement}} */ event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const next = TABS[(TABS.indexOf(at) + (step ?? 0) + TABS.length) % TABS.length];
      if (step === undefined || next === undefined) return;
      event.preventDefault();
      location.replace(href({ page: "stream", key: this.#key, tab: next }));
      event.currentTarget.querySelectorAll("a")[TABS.indexOf(next)]?.focus();
    };
    return html`<div class="tabs"><div role="tablist" aria-label="Views"
      @keydown=${onKey}>${TABS.map(
        (tab) => html`
        <a role="tab" href=${href({ page: "stream", key: this.#key, tab })}
          tabindex=${tab === at ? "0" : "-1"}
          aria-selected=${tab === at ? "true" : "false"} @click=${(/** @type {Event} */ event) => {
            event.preventDefault();
            location.replace(href({ page: "stream", key: this.#key, tab }));
          }}>${TAB_NAMES[tab]}</a>`,
      )}</div>
      <span class="state ${this.#state}" title=${this.#why}><span
        class="dot"></span>${FOLLOWING[this.#state]}</span></div>`;
  }

  #content() {
    switch (this.#tab) {
      case "text":
        return this.#text();
      case "clients":
        return this.#panes.render();
      case "code":
        return this.#code.render(this.#usualName());
      default:
        return this.#list.render();
    }
  }

  #text() {
    const text = this.#assembled.update(this.#log, this.#textOf, OWN_NAMES);
    const names = [...this.#log.names.keys()].filter((name) => !OWN_NAMES.includes(name)).sort();
    return html`<div class="bar"><label class="filter">Text of
        <select .value=${live(this.#textOf)} @change=${(
          /** @type {Event & {target: HTMLSelectElement}} */ { target },
        ) => {
          this.#textOf = target.value;
          redraw();
        }}><option value="">all events</option>${names.map(
          (name) => html`<option value=${name}>${name}</option>`,
        )}</select></label>
        <span class="grow">${plural(text.length, "character")}</span></div>
      <div class="answer" tabindex="0" role="region" aria-label="Text"><div>${
        text === "" ? html`<span class="empty">No text yet.</span>` : text
      }${this.#state === "live" ? html`<span class="caret"></span>` : nothing}</div></div>`;
  }

  /** The most frequent event name. */
  #usualName() {
    const names = [...this.#log.names]
      .filter(([name]) => !OWN_NAMES.includes(name))
      .sort(([, a], [, b]) => b - a);
    return names[0]?.[0] ?? "token";
  }

  async #finish(/** @type {"end" | "cancel" | "fail"} */ how) {
    if (await attempt(() => finishStream(this.#key, how))) notice(FINISHED[how]);
    this.#load();
  }

  #askToStop = async () => {
    if (await attempt(() => sendSignal(this.#key, "stop"))) notice("The producer is asked to stop");
    this.#load();
  };

  #create = async () => {
    if (await attempt(() => createStream({ key: this.#key }))) this.#load();
  };
}
