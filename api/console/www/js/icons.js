// Line icons, 16 by 16, in the colour of the text around them.

import { html, svg } from "./lib.js";

const PATHS = {
  activity: svg`<path d="M1.5 8h3l2-5 3 10 2-5h3" />`,
  back: svg`<path d="M10 3 5 8l5 5" />`,
  check: svg`<path d="m3 8.5 3.5 3.5L13 4.5" />`,
  copy: svg`<rect x="5.5" y="5.5" width="8" height="8" rx="1.5" /><path
    d="M10.5 5.5v-2a1 1 0 0 0-1-1h-6a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h2" />`,
  cut: svg`<path d="M2 8h4M10 8h4M6.5 5l-1-2M9.5 13l-1-2M9.5 5l1-2" />`,
  down: svg`<path d="M8 3v10M4 9l4 4 4-4" />`,
  external: svg`<path d="M6 3H3v10h10v-3M9 2.5h4.5V7M13 3 7 9" />`,
  leave: svg`<path d="M6 2.5H3v11h3M10 5l3 3-3 3M13 8H6" />`,
  link: svg`<path d="M1.5 8h13" />`,
  pause: svg`<path d="M5.5 3v10M10.5 3v10" />`,
  play: svg`<path d="M5 3v10l8-5z" />`,
  plus: svg`<path d="M8 3v10M3 8h10" />`,
  search: svg`<circle cx="7" cy="7" r="4.5" /><path d="m10.5 10.5 3 3" />`,
  stop: svg`<rect x="4" y="4" width="8" height="8" rx="1" />`,
  warning: svg`<path d="M8 2.5 1.5 13.5h13z" /><path d="M8 6.5v3.5M8 12v.2" />`,
  theme: svg`<circle cx="8" cy="8" r="5.5" /><path class="solid" d="M8 2.5a5.5 5.5 0 0 1 0 11z" />`,
};

/** @param {keyof typeof PATHS} name */
export const icon = (name) =>
  html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true">${PATHS[name]}</svg>`;

export const mark = html`<svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
  <rect width="32" height="32" rx="9" />
  <path d="M7 10h9" /><path d="M7 16h18" opacity=".75" /><path d="M7 22h13" opacity=".5" />
  <circle cx="22.5" cy="10" r="2.5" />
</svg>`;
