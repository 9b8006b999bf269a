// The frame around all views: sign-in, navigation, and the state of the broker.

import { broker } from "./broker.js";
import { ClientList } from "./clients.js";
import { duration } from "./format.js";
import { icon, mark } from "./icons.js";
import { html, nothing, render } from "./lib.js";
import { noticeList } from "./notice.js";
import { Overview } from "./overview.js";
import { drawBy, redraw } from "./redraw.js";
import { href, route } from "./route.js";
import { apiKey, theme } from "./session.js";
import { SignIn } from "./signin.js";
import { StreamPage } from "./stream.js";
import { StreamList } from "./streams.js";

/**
 * @typedef {object} View
 * @property {string} title
 * @property {() => unknown} render
 * @property {() => void} close Closes connections and stops timers.
 */

/** @type {View | null} */
let view = null;
/** The page for which `view` was made. */
let shown = "";

function currentView() {
  const at = route();
  const next =
    apiKey.get() === null ? "sign-in" : at.page === "stream" ? `stream ${at.key}` : at.page;
  if (view !== null && next === shown) return view;
  view?.close();
  shown = next;
  if (next === "sign-in") view = new SignIn();
  else if (at.page === "stream") view = new StreamPage(at.key);
  else if (at.page === "clients") view = new ClientList();
  else view = at.page === "streams" ? new StreamList() : new Overview();
  return view;
}

const BANNERS = {
  "store-unavailable":
    "The store does not answer. Clients are kept, writes are refused until it is back.",
  "shutting-down": "This broker is stopping. Clients go on at another node.",
  unreachable: "The broker can't be reached. The console goes on trying.",
};

function banner() {
  const { health, warnings } = broker;
  if (health === "unknown" || health === "ready") {
    return warnings.map(
      (warning) => html`<div class="banner warning">${icon("activity")}<p>${warning}.</p></div>`,
    );
  }
  return html`<div class="banner">${icon("activity")}<p>${BANNERS[health]}</p></div>`;
}

/**
 * @param {"overview" | "streams" | "clients"} page
 * @param {string} label
 */
function navigation(page, label) {
  const here = route().page;
  const current = here === page || (here === "stream" && page === "streams");
  const to = page === "clients" ? href({ page, key: "", tag: "" }) : href({ page });
  return html`<a href=${to} aria-current=${current ? "page" : nothing}>${label}</a>`;
}

function health() {
  const { info } = broker;
  const about = info === null ? "" : [...new Set([info.store, info.delivery])].join(" · ");
  const words = {
    ready: "Ready",
    "store-unavailable": "No store",
    "shutting-down": "Stopping",
    unreachable: "Unreachable",
    unknown: "…",
  };
  return html`<span class="health ${broker.health}"
    title=${info === null ? "" : `Up for ${duration(info.activity.uptime)}`}>
    <span class="dot"></span>${words[broker.health]}<span class="about">${about}</span>
  </span>`;
}

function header() {
  const inside = apiKey.get() !== null;
  return html`<header class="top">
    <a class="brand" href="#/">${mark}<span>tinistreamer</span></a>
    ${
      inside
        ? html`<nav aria-label="Console">${[
            navigation("overview", "Overview"),
            navigation("streams", "Streams"),
            navigation("clients", "Clients"),
          ]}
      <a href="api/docs/" target="_blank" rel="noopener">API ${icon("external")}</a></nav>`
        : nothing
    }
    <div class="status">
      ${health()}
      <button class="plain" title="Colours: ${theme.get()}" aria-label="Colours: ${theme.get()}"
        @click=${() => {
          theme.next();
          redraw();
        }}>${icon("theme")}</button>
      ${
        inside
          ? html`<button class="plain" title="Forget the API key" aria-label="Forget the API key"
            @click=${() => {
              apiKey.forget();
              redraw();
            }}>${icon("leave")}</button>`
          : nothing
      }
    </div>
  </header>`;
}

function page() {
  const view = currentView();
  document.title = `${view.title} · tinistreamer`;
  return html`<a class="skip" href="#main" @click=${skip}>Skip to the content</a>
    ${header()}
    <div role="alert">${banner()}</div>
    <main id="main" tabindex="-1">${view.render()}</main>
    ${noticeList()}`;
}

/** A script, because a link would replace the page behind the # of the address. */
function skip(/** @type {Event} */ event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

const root = document.getElementById("app");
if (root === null) throw new Error("index.html has no #app");
drawBy(() => render(page(), root));
addEventListener("hashchange", () => {
  scrollTo(0, 0);
  redraw();
});
addEventListener("resize", redraw);
theme.apply();
broker.watch();
redraw();
