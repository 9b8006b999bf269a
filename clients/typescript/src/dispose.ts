/// <reference lib="esnext.disposable" preserve="true" />

/**
 * `Symbol.asyncDispose`. Platforms without it get a stand-in that nothing calls, so that no global
 * has to be changed.
 */
export const asyncDispose: typeof Symbol.asyncDispose =
  Symbol.asyncDispose ?? (Symbol.for("Symbol.asyncDispose") as typeof Symbol.asyncDispose);
