// The list of a stream's events, and the selected event beside it. The document contains only the
// visible rows, so that ten thousand events scroll as well as ten.

import { clock, count, plural } from "./format.js";
import { icon } from "./icons.js";
import { html, live, nothing } from "./lib.js";
import { OWN_NAMES } from "./log.js";
import { redraw } from "./redraw.js";
import { pretty } from "./text.js";

/** The same as in stream.css. */
const ROW_PX = 30;
/** Rows above and below the visible ones, for a scroll that is faster than a frame. */
const SPARE_ROWS = 8;
/** The characters of data that a row can show. */
const PREVIEW = 300;
/** A smaller distance to the end counts as the end. */
const NEAR_PX = 4;
/**
 * A scroll so soon after a wheel, a finger or a key comes from the user. Any other scroll comes
 * from new events.
 */
const BY_HAND_MS = 500;

export class EventList {
  #log;
  /** Whether the list stays at the newest event. */
  #following = true;
  #top = 0;
  #height = 600;
  /** @type {import("./log.js").LogEntry | null} */
  #chosen = null;
  /** The number of events when the list stopped following. */
  #seen = 0;
  /** When the user last scrolled. */
  #touched = Number.NEGATIVE_INFINITY;

  /** @param {import("./log.js").EventLog} log */
  constructor(log) {
    this.#log = log;
  }

  /** The events of another stream follow. */
  reset() {
    this.#chosen = null;
    this.#follow();
  }

  render() {
    const rows = this.#log.shown;
    if (this.#following) this.#top = Math.max(0, rows.length * ROW_PX - this.#height);
    const from = Math.max(0, Math.floor(this.#top / ROW_PX) - SPARE_ROWS);
    const to = Math.min(rows.length, Math.ceil((this.#top + this.#height) / ROW_PX) + SPARE_ROWS);
    const chosenAt = this.#chosen === null ? -1 : rows.indexOf(this.#chosen);
    queueMicrotask(() => this.#settle());
    return html`<div class="events">
      <div class="bar">${this.#filter()}
        <span class="grow">${
          this.#log.filter === "" ? "" : `${count(rows.length)} of `
        }${plural(this.#log.entries.length, "event")}</span>
        <button aria-pressed=${this.#following ? "true" : "false"}
          @click=${() => (this.#following ? this.#pause() : this.#follow())}>
          ${
            this.#following
              ? html`${icon("pause")} Pause`
              : html`${icon("down")} Follow${this.#newEvents(rows.length)}`
          }
        </button>
      </div>
      <div class="list" role=${rows.length === 0 ? "group" : "listbox"} tabindex="0"
        aria-label="Events"
        aria-activedescendant=${chosenAt >= from && chosenAt < to ? `event-${chosenAt}` : nothing}
        @scroll=${this.#onScroll} @wheel=${this.#onTouch} @touchmove=${this.#onTouch}
        @pointerdown=${this.#onTouch} @keydown=${this.#onKey}>
        <div class="all" role="presentation" .style=${`height: ${rows.length * ROW_PX}px`}>
          <div class="sight" role="presentation"
            .style=${`transform: translateY(${from * ROW_PX}px)`}>
            ${rows.slice(from, to).map((entry, at) => this.#row(entry, from + at, rows.length))}
          </div>
        </div>
        ${rows.length === 0 ? html`<p class="empty">No events yet.</p>` : nothing}
      </div>
      ${this.#chosen === null ? nothing : this.#inspector(this.#chosen)}
    </div>`;
  }

  /**
   * @param {import("./log.js").LogEntry} entry
   * @param {number} at
   * @param {number} all
   */
  #row(entry, at, all) {
    return html`<div class="row" role="option" id="event-${at}" aria-posinset=${at + 1}
      aria-setsize=${all}
      aria-selected=${entry === this.#chosen ? "true" : "false"} @click=${() => this.#choose(at)}>
      <span class="number">${entry.number ?? "–"}</span>
      <span class="time">${entry.ms === null ? "" : clock(entry.ms)}</span>
      ${nameTag(entry.name)}
      <span class="data">${visible(entry.data.slice(0, PREVIEW))}</span>
    </div>`;
  }

  #filter() {
    const names = [...this.#log.names].sort(([a], [b]) => (a < b ? -1 : 1));
    return html`<label class="filter">Show
      <select .value=${live(this.#log.filter)} @change=${(
        /** @type {Event & {target: HTMLSelectElement}} */ { target },
      ) => {
        this.#log.filter = target.value;
        this.#follow();
      }}>
        <option value="">all events</option>
        ${names.map(
          ([name, much]) => html`<option value=${name}>${name} (${count(much)})</option>`,
        )}
      </select></label>`;
  }

  #newEvents(/** @type {number} */ now) {
    const fresh = now - this.#seen;
    return fresh > 0 ? html` <span class="fresh">${count(fresh)} new</span>` : nothing;
  }

  #inspector(/** @type {import("./log.js").LogEntry} */ { id, ms, name, data }) {
    const { json, text } = pretty(data);
    return html`<section class="inspector" aria-label="Event ${id ?? name}">
      <div class="between"><h3><bdi>${name}</bdi></h3><button class="plain" aria-label="Close"
        @click=${() => {
          this.#chosen = null;
          redraw();
        }}>×</button></div>
      <dl><dt>id</dt><dd><code>${id ?? "none"}</code></dd>
        <dt>time</dt><dd>${ms === null ? "none" : new Date(ms).toISOString()}</dd>
        <dt>data</dt>
          <dd>${
            data === ""
              ? "none"
              : `${plural(new TextEncoder().encode(data).length, "byte")}${json ? " of JSON" : ""}`
          }</dd></dl>
      <pre tabindex="0" aria-label="Data">${text}</pre>
    </section>`;
  }

  #list() {
    return document.querySelector(".events .list");
  }

  #follow() {
    this.#following = true;
    redraw();
  }

  #pause() {
    this.#following = false;
    this.#seen = this.#log.shown.length;
    redraw();
  }

  /** Called after drawing, because only then the list has its height. */
  #settle() {
    const list = this.#list();
    if (list === null) return;
    if (this.#following) list.scrollTop = list.scrollHeight;
    if (this.#height === list.clientHeight) return;
    this.#height = list.clientHeight;
    // The details of the selected row appear below, and must not move that row out of sight.
    if (this.#chosen !== null) this.#reveal(this.#log.shown.indexOf(this.#chosen));
    redraw();
  }

  #onTouch = () => {
    this.#touched = performance.now();
  };

  #onScroll = (/** @type {Event & {currentTarget: HTMLElement}} */ { currentTarget: list }) => {
    const byHand = performance.now() - this.#touched < BY_HAND_MS;
    const atEnd = list.scrollHeight - list.clientHeight - list.scrollTop <= NEAR_PX;
    this.#top = list.scrollTop;
    if (this.#following && !atEnd && byHand) this.#pause();
    else if (!this.#following && atEnd && byHand) this.#follow();
    else redraw();
  };

  #choose(/** @type {number} */ at) {
    this.#chosen = this.#log.shown[at] ?? this.#chosen;
    if (this.#following) this.#pause();
    redraw();
  }

  #onKey = (/** @type {KeyboardEvent} */ event) => {
    const rows = this.#log.shown;
    const page = Math.max(1, Math.floor(this.#height / ROW_PX) - 1);
    const at = this.#chosen === null ? rows.length : rows.indexOf(this.#chosen);
    /** @type {Record<string, number>} */
    const to = {
      ArrowUp: at - 1,
      ArrowDown: at + 1,
      PageUp: at - page,
      PageDown: at + page,
      Home: 0,
      End: rows.length - 1,
    };
    const next = to[event.key];
    if (next === undefined || rows.length === 0) return;
    event.preventDefault();
    const within = Math.min(Math.max(next, 0), rows.length - 1);
    this.#choose(within);
    this.#reveal(within);
  };

  #reveal(/** @type {number} */ at) {
    const list = this.#list();
    if (list === null || at < 0) return;
    const [top, bottom] = [at * ROW_PX, (at + 1) * ROW_PX];
    if (top < list.scrollTop) list.scrollTop = top;
    else if (bottom > list.scrollTop + list.clientHeight)
      list.scrollTop = bottom - list.clientHeight;
  }
}

/** An event name in its colour, the same everywhere. The broker's own names have none. */
export function nameTag(/** @type {string} */ name) {
  if (OWN_NAMES.includes(name)) return html`<span class="name own"><bdi>${name}</bdi></span>`;
  let hue = 0;
  for (const character of name) hue = (hue * 31 + (character.codePointAt(0) ?? 0)) % 360;
  return html`<span class="name" .style=${`--hue: ${hue}`}><bdi>${visible(name)}</bdi></span>`;
}

/** One line that shows control characters as JSON escapes. */
function visible(/** @type {string} */ text) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is to be shown
  return text.replace(/[\x00-\x1f\x7f]/g, (control) =>
    control === "\x7f" ? "\\u007f" : JSON.stringify(control).slice(1, -1),
  );
}
