// The API key, which a tab keeps until it is closed, and the colours, which the browser keeps.
// Neither gets into a URL.

const API_KEY = "tinistreamer.api-key";
const THEME = "tinistreamer.theme";

/** @typedef {"auto" | "light" | "dark"} Theme */

/** @type {Theme[]} */
const THEMES = ["auto", "light", "dark"];

/** The API key that was entered in this tab. */
export const apiKey = {
  get: () => sessionStorage.getItem(API_KEY),
  /** @param {string} key */
  set: (key) => sessionStorage.setItem(API_KEY, key),
  forget: () => sessionStorage.removeItem(API_KEY),
};

export const theme = {
  /** @returns {Theme} */
  get: () => THEMES.find((theme) => theme === localStorage.getItem(THEME)) ?? "auto",
  /** Switches to the next one. */
  next() {
    const next = THEMES[(THEMES.indexOf(theme.get()) + 1) % THEMES.length] ?? "auto";
    localStorage.setItem(THEME, next);
    theme.apply();
  },
  apply() {
    document.documentElement.dataset.theme = theme.get();
  },
};
