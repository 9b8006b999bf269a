// Formats numbers and times for people.

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** @param {number} figure */
export const count = (figure) => whole.format(figure);

/** @param {number} figure */
export const short = (figure) => (figure < 10_000 ? whole.format(figure) : compact.format(figure));

/** @param {number} figure Events a second, say. */
export const rate = (figure) =>
  figure > 0 && figure < 10 ? figure.toFixed(1) : short(Math.round(figure));

/** @param {number} bytes */
export function size(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  const step = bytes > 0 ? Math.min(Math.floor(Math.log10(bytes) / 3), units.length - 1) : 0;
  const figure = bytes / 1000 ** step;
  return `${figure.toFixed(step > 0 && figure < 100 ? 1 : 0)} ${units[step]}`;
}

/** @param {number} seconds */
export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const [d, h, m] = [Math.floor(s / 86_400), Math.floor(s / 3_600) % 24, Math.floor(s / 60) % 60];
  if (d > 0) return `${d}d ${h}h`;
  if (h > 0) return `${h}h ${m}m`;
  return m > 0 ? `${m}m ${String(s % 60).padStart(2, "0")}s` : `${s}s`;
}

/** @param {number} ms Of the epoch. */
export function clock(ms) {
  const at = new Date(ms);
  const pad = (/** @type {number} */ n, digits = 2) => String(n).padStart(digits, "0");
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map((part) => pad(part)).join(":");
  return `${time}.${pad(at.getMilliseconds(), 3)}`;
}

/**
 * @param {number} figure
 * @param {string} one
 * @param {string} [many]
 */
export const plural = (figure, one, many = `${one}s`) =>
  `${count(figure)} ${figure === 1 ? one : many}`;
