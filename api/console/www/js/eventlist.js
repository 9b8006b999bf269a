// The events of a stream as a list of which only what is in sight is in the document, so that ten
// thousand scroll as well as ten; and beside it, the one that was chosen.

import { clock, count, plural } from "./format.js";
import { icon } from "./icons.js";
import { html, live, nothing } from "./lib.js";
import { OWN_NAMES } from "./log.js";
import { redraw } from "./redraw.js";
import { pretty } from "./text.js";

/** As in stream.css. */
const ROW_PX = 30;
/** Drawn above and below what is in sight, for a scroll that is faster than a frame. */
const SPARE_ROWS = 8;
/** Of data, as much as a row could show. */
const PREVIEW = 300;
/** Nearer to the end than this is at the end. */
const NEAR_PX = 4;
/**
 * What scrolls so soon after a wheel, a finger or a key was moved by it; all else by the list's
 * growing.
 */
const BY_HAND_MS = 500;

export class EventList {
  #log;
  /** Stay at the newest. */
  #following = true;
  #top = 0;
  #height = 600;
  /** @type {import("./log.js").LogEntry | null} */
  #chosen = null;
  /** How many there were when it stopped following. */
  #seen = 0;
  /** When somebody last had a hand on the list. */
  #touched = Number.NEGATIVE_INFINITY;

  /** @param {import("./log.js").EventLog} log */
  constructor(log) {
    this.#log = log;
  }

  /** Another stream's events are to come. */
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
              : html`${icon("down")} Follow${this.#news(rows.length)}`
          }
        </button>
      </div>
      <div class="list" role=${rows.length === 0 ? "group" : "listbox"} tabindex="0"
        aria-label="Events" aria-activedescendant=${chosenAt >= from && chosenAt < to ? `event-${chosenAt}` : nothing}
        @scroll=${this.#onScroll} @wheel=${this.#onTouch} @touchmove=${this.#onTouch} @pointerdown=${this.#onTouch} @keydown=${this.#onKey}>
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
        ${names.map(([name, much]) => html`<option value=${name}>${name} (${count(much)})</option>`)}
      </select></label>`;
  }

  #news(/** @type {number} */ now) {
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

  /** After drawing: only now is the list as long and as high as it is. */
  #settle() {
    const list = this.#list();
    if (list === null) return;
    if (this.#following) list.scrollTop = list.scrollHeight;
    if (this.#height === list.clientHeight) return;
    this.#height = list.clientHeight;
    // What was chosen shows itself below, and must not push the chosen row out of sight.
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

/** A name in a colour of its own, the same everywhere; the broker's own in none. */
export function nameTag(/** @type {string} */ name) {
  if (OWN_NAMES.includes(name)) return html`<span class="name own"><bdi>${name}</bdi></span>`;
  let hue = 0;
  for (const character of name) hue = (hue * 31 + (character.codePointAt(0) ?? 0)) % 360;
  return html`<span class="name" .style=${`--hue: ${hue}`}><bdi>${visible(name)}</bdi></span>`;
}

/** One line, on which control characters can be seen, as JSON writes them. */
function visible(/** @type {string} */ text) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is to be shown
  return text.replace(/[\x00-\x1f\x7f]/g, (control) =>
    control === "\x7f" ? "\\u007f" : JSON.stringify(control).slice(1, -1),
  );
}
