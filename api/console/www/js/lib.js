// All imports from other packages. lib.d.ts contains their types.

export { createParser } from "../vendor/eventsource-parser/dist/index.js";
export { live } from "../vendor/lit-html/directives/live.js";
export { repeat } from "../vendor/lit-html/directives/repeat.js";
export { html, nothing, render, svg } from "../vendor/lit-html/lit-html.js";
