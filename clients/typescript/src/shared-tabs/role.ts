/**
 * What a tab does.
 *
 * * `alone`: it follows the stream over its own line, at the speed of its reader.
 * * `leading`: it follows the stream over its own line, and sends each step to the other tabs.
 * * `following`: it has no line, and takes the steps of the leading tab.
 * * `frozen`: the browser has stopped the page.
 */
export type Role = "alone" | "leading" | "following" | "frozen";
