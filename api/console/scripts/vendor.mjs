// Copies the packages that the console loads from node_modules into www/vendor. The copies are
// committed, so that the broker is built without npm. With --check it fails unless the copies are
// those of the lock file.

import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const vendor = path.join(root, "www/vendor");

const FILES = {
  "lit-html": [
    "LICENSE",
    "lit-html.js",
    "directive.js",
    "directive-helpers.js",
    "directives/live.js",
    "directives/repeat.js",
  ],
  "eventsource-parser": ["LICENSE", "dist/index.js"],
  "@fontsource-variable/inter": ["LICENSE", "files/inter-latin-wght-normal.woff2"],
  "@fontsource-variable/jetbrains-mono": [
    "LICENSE",
    "files/jetbrains-mono-latin-wght-normal.woff2",
  ],
};

const expected = Object.entries(FILES).flatMap(([name, files]) =>
  files.map((file) => path.join(name, file)),
);
const source = (/** @type {string} */ file) => path.join(root, "node_modules", file);

/**
 * Returns a file. Scripts lose the reference to a source map: the map is not copied, and a browser
 * would request it.
 */
async function content(/** @type {string} */ file) {
  const bytes = await readFile(file);
  return file.endsWith(".js")
    ? Buffer.from(bytes.toString().replace(/\n?\/\/# sourceMappingURL=\S+\s*$/, "\n"))
    : bytes;
}

if (process.argv.includes("--check")) {
  const there = (await readdir(vendor, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(vendor, path.join(entry.parentPath, entry.name)));
  const strange = there.filter((file) => !expected.includes(file));
  const stale = [];
  for (const file of expected) {
    const same =
      there.includes(file) &&
      (await readFile(path.join(vendor, file))).equals(await content(source(file)));
    if (!same) stale.push(file);
  }
  if (strange.length + stale.length > 0) {
    console.error(
      `www/vendor is not what npm run vendor makes: ${[...strange, ...stale].join(", ")}`,
    );
    process.exitCode = 1;
  }
} else {
  await rm(vendor, { recursive: true, force: true });
  for (const file of expected) {
    const target = path.join(vendor, file);
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(target, await content(source(file)));
  }
}
