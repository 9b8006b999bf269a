// Where the examples are, and what they print.

import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { onStores, until } from '../harness.mjs';

const repository = fileURLToPath(new URL('../../../', import.meta.url));
export const examples = path.join(repository, 'examples');
export const BROKER = path.resolve(
  process.env.TINISTREAMER_BIN ?? path.join(repository, 'target/debug/tinistreamer'),
);

export const withBroker = (name, body) => onStores(name, body, ['memory']);

/** Waits until the output of a program matches, and returns the match. */
export async function printed(child, pattern, pick = ([, first]) => first) {
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  let ended;
  child.gone.then((how) => (ended = how));
  return until(
    () => {
      const found = pattern.exec(out);
      if (ended && !found) throw new Error(`It ended: ${JSON.stringify(ended)}\n${out}\n${err}`);
      return found && pick(found);
    },
    () => `${pattern} in:\n${out}\n${err}`,
  );
}
