// Where the broker's program is: in a package of its own for each platform. npm installs the one
// that fits, as an optional dependency.

import { createRequire } from "node:module";
import process from "node:process";

/**
 * The path of the broker's program.
 *
 * @throws {Error} There is no package for this platform, or it is not installed.
 */
export function program() {
  const name = `@tinistreamer/broker-${process.platform}-${process.arch}`;
  const suffix = process.platform === "win32" ? ".exe" : "";
  try {
    return createRequire(import.meta.url).resolve(`${name}/bin/tinistreamer${suffix}`);
  } catch {
    throw new Error(
      `the package ${name} is not installed. There is none for every platform, and npm leaves it ` +
        "out with --omit=optional. The README names other ways to get the broker.",
    );
  }
}
