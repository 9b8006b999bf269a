// The current page of the console. It is behind the # of the address, so that links and the
// browser's history work.

/**
 * @typedef {{page: "overview"} | {page: "streams"} | {page: "clients", key: string, tag: string}
 *   | {page: "stream", key: string, tab: Tab}} Route
 * @typedef {"events" | "text" | "clients" | "code"} Tab
 */

/** @type {Tab[]} */
export const TABS = ["events", "text", "clients", "code"];

/** @returns {Route} */
export function route() {
  const [path, query] = location.hash.slice(1).split("?", 2);
  const parameters = new URLSearchParams(query);
  const key = parameters.get("key");
  if (path === "/stream" && key) {
    return {
      page: "stream",
      key,
      tab: TABS.find((tab) => tab === parameters.get("tab")) ?? "events",
    };
  }
  if (path === "/clients")
    return { page: "clients", key: key ?? "", tag: parameters.get("tag") ?? "" };
  return path === "/streams" ? { page: "streams" } : { page: "overview" };
}

/** @param {Route} to */
export function href(to) {
  if (to.page === "stream") return `#/stream?${new URLSearchParams({ key: to.key, tab: to.tab })}`;
  if (to.page === "clients") {
    const query = new URLSearchParams(
      Object.entries({ key: to.key, tag: to.tag }).filter(([, value]) => value !== ""),
    );
    return query.size > 0 ? `#/clients?${query}` : "#/clients";
  }
  return to.page === "streams" ? "#/streams" : "#/";
}

/** @param {Route} to */
export function go(to) {
  location.hash = href(to);
}
