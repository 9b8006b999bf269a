// A chart of two rates over the last two minutes.

import { rate } from "./format.js";
import { html, svg } from "./lib.js";

const [WIDTH, HEIGHT] = [600, 160];
const SHOWN_MS = 120_000;

/** @param {import("./broker.js").Rate[]} rates */
export function chart(rates) {
  const now = rates.at(-1) ?? { at: 0, in: 0, out: 0 };
  const top = ceiling(Math.max(...rates.flatMap((rate) => [rate.in, rate.out]), 1));
  const x = (/** @type {number} */ at) => WIDTH - ((now.at - at) / SHOWN_MS) * WIDTH;
  const y = (/** @type {number} */ value) => HEIGHT - (value / top) * HEIGHT;
  const line = (/** @type {"in" | "out"} */ way) =>
    rates.map((r) => `${x(r.at).toFixed(1)},${y(r[way]).toFixed(1)}`).join(" ");
  const area = (/** @type {"in" | "out"} */ way) => {
    const first = rates[0];
    return first === undefined
      ? ""
      : `${x(first.at).toFixed(1)},${HEIGHT} ${line(way)} ${WIDTH},${HEIGHT}`;
  };
  const current = `now ${rate(now.in)} in and ${rate(now.out)} out, at the most ${rate(top)}`;
  const label = `Events a second over the last two minutes: ${current}`;
  return html`<figure class="chart">
    <figcaption>
      <span class="in"><i></i>in <b>${rate(now.in)}</b>/s</span>
      <span class="out"><i></i>out <b>${rate(now.out)}</b>/s</span>
    </figcaption>
    <div class="plot">
      <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img"
        aria-label=${label}>
        ${[0, 0.5, 1].map((at) => {
          const y = HEIGHT * at;
          return svg`<line class="grid" x1="0" x2=${WIDTH} y1=${y} y2=${y} />`;
        })}
        <polygon class="out" points=${area("out")} /><polyline class="out" points=${line("out")} />
        <polygon class="in" points=${area("in")} /><polyline class="in" points=${line("in")} />
      </svg>
      <span class="top" aria-hidden="true">${rate(top)}</span><span class="middle"
        aria-hidden="true">${rate(top / 2)}</span>
    </div>
    <div class="axis" aria-hidden="true"><span>2 min ago</span><span>now</span></div>
  </figure>`;
}

/** The next greater number of 1, 2, 5, 10, 20, … */
function ceiling(/** @type {number} */ value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return /** @type {number} */ ([1, 2, 5, 10].find((step) => step * power >= value)) * power;
}
