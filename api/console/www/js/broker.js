// The state of the broker. The console requests it once a second while the page is visible.

import { ApiError, brokerInfo, ready } from "./api.js";
import { redraw } from "./redraw.js";
import { apiKey } from "./session.js";

const INTERVAL_MS = 1_000;
/** The time that the chart shows. */
const KEPT_MS = 120_000;
/**
 * Clocks and response times may differ by this much. A greater difference means another node, or a
 * restart.
 */
const SAME_START_MS = 3_000;

/**
 * @typedef {{at: number, in: number, out: number}} Rate Events a second.
 * @typedef {"unknown" | "ready" | "store-unavailable" | "shutting-down" | "unreachable"} Health
 */

class Broker {
  /** @type {import("./api.js").BrokerInfo | null} */
  info = null;
  /** @type {Health} */
  health = "unknown";
  /** The warnings of a ready broker. @type {string[]} */
  warnings = [];
  /** @type {Rate[]} */
  rates = [];
  /** Whether the broker refused the API key of the last request. */
  refused = false;
  /** @type {{at: number, started: number, in: number, out: number} | null} */
  #last = null;

  watch() {
    const round = async () => {
      if (document.visibilityState === "visible") {
        await Promise.all([this.#requestInfo(), this.#requestHealth()]);
        redraw();
      }
      setTimeout(round, INTERVAL_MS);
    };
    round();
    document.addEventListener(
      "visibilitychange",
      () => document.visibilityState === "visible" && this.refresh(),
    );
  }

  /** Requests the state at once. */
  async refresh() {
    await Promise.all([this.#requestInfo(), this.#requestHealth()]);
    redraw();
  }

  async #requestInfo() {
    if (apiKey.get() === null) return;
    try {
      const info = await brokerInfo();
      this.refused = false;
      this.info = info;
      this.#measure(info.activity, performance.now());
    } catch (error) {
      this.notice(error);
    }
  }

  async #requestHealth() {
    try {
      this.warnings = await ready();
      this.health = "ready";
    } catch (error) {
      const code = error instanceof ApiError ? error.code : "unreachable";
      this.warnings = [];
      this.health = code === "store-unavailable" || code === "shutting-down" ? code : "unreachable";
    }
  }

  /**
   * Handles the error of any request. After a refused key the console asks for another one.
   * @param {unknown} error
   */
  notice(error) {
    if (error instanceof ApiError && error.code === "unauthorized") {
      this.refused = true;
      this.info = null;
      apiKey.forget();
      redraw();
    }
  }

  /**
   * @param {import("./api.js").Activity} activity Totals since the node's start.
   * @param {number} at
   */
  #measure(activity, at) {
    const now = {
      at,
      started: at - activity.uptime * 1_000,
      in: activity.events_in,
      out: activity.events_out,
    };
    const last = this.#last;
    this.#last = now;
    // Totals of another node, or from before a restart, can't be compared.
    if (
      last === null ||
      Math.abs(now.started - last.started) > SAME_START_MS ||
      now.in < last.in ||
      now.out < last.out
    )
      return;
    const seconds = Math.max((at - last.at) / 1_000, 0.001);
    this.rates.push({ at, in: (now.in - last.in) / seconds, out: (now.out - last.out) / seconds });
    while (this.rates[0] && this.rates[0].at < at - KEPT_MS) this.rates.shift();
  }
}

export const broker = new Broker();
