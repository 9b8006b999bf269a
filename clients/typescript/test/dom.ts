// A page for React, as globals, to be imported before it. `fetch` and streams stay those of Node.

import { Window } from "happy-dom";

const window = new Window();
const globals = {
  window,
  document: window.document,
  navigator: window.navigator,
  MutationObserver: window.MutationObserver,
  HTMLElement: window.HTMLElement,
  IS_REACT_ACT_ENVIRONMENT: true,
};
for (const [name, value] of Object.entries(globals)) {
  // Not by assignment: Node's own `navigator`, where it has one, takes none.
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}
