// Runs the code blocks of a page, each with a broker of its own, as a reader would.

import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { onStores } from '../browser/harness.mjs';
import { run } from '../recipes/programs.mjs';
import { DEADLINE, until } from '../support/processes.mjs';
import { blocksOf, root } from './blocks.mjs';

/** The address of the broker in the documentation. */
const ADDRESS = 'http://127.0.0.1:8000';
const BROKER = path.resolve(
  process.env.TINISTREAMER_BIN ?? path.join(root, 'target/debug/tinistreamer'),
);
const PYTHON = path.resolve(
  process.env.CLIENTS_PYTHON ?? path.join(root, 'target/venv-clients/bin/python'),
);
const library = path.join(root, 'clients/typescript');

/** Where the packages that readers install are installed for tests. */
const PACKAGES = {
  express: 'tests/proxies',
  'openapi-fetch': 'clients/typescript',
  'reconnecting-websocket': 'tests/foreign',
  ws: 'tests/foreign',
};

/** A block that runs. `body` gets a reader's machine, and the text of the block. */
export const runs = (language, name, body) => ({ language, name, body });

/** Blocks that nothing here runs, and the reason: what runs or checks them, or why nothing can. */
export const elsewhere = (language, reason, count = 1) =>
  Array.from({ length: count }, () => ({ language, reason }));

const MERMAID = 'scripts/site/node_modules/mermaid/dist/mermaid.min.js';

/** Diagrams, which Chromium draws. `words` has words that each diagram shows. */
export const drawn = (...words) =>
  words.map((word, n) =>
    runs('mermaid', `diagram ${n + 1} shows “${word}”`, async (reader, text) => {
      const tab = await reader.fixture.tab();
      await tab.addScriptTag({ path: path.join(root, MERMAID) });
      const drawing = await tab.evaluate(
        async (text) => (await mermaid.render('diagram', text)).svg,
        text,
      );
      assert.ok(drawing.includes(word), `${word} in ${drawing}`);
      assert.doesNotMatch(drawing, /Syntax error/);
    }),
  );

/** Tests a page. `entries` has one entry for each block of the page, in order. */
export function describePage(page, ...entries) {
  const blocks = blocksOf(page);
  const all = entries.flat();
  describe(page, { concurrency: 3 }, () => {
    test('each block has a test, or a reason why it has none', () => {
      const place = ({ language }, n) => `${blocks[n]?.line ?? 'no line'}: ${language}`;
      assert.deepEqual(all.map(place), blocks.map(place));
      for (const { body, reason } of all) if (!body) checkReason(reason);
    });
    all.forEach(({ name, body }, n) => {
      if (!body) return;
      const start = async (fixture) => {
        assert.equal(blocks[n]?.language, all[n].language, `block ${n + 1} of the page`);
        await body(await Reader.start(fixture), blocks[n].text);
      };
      onStores(name, start, ['memory']);
    });
  });
}

const makefile = readFileSync(path.join(root, 'Makefile'), 'utf8');

/** Fails unless the files and the targets that a reason names exist. */
function checkReason(reason) {
  assert.ok(reason, 'a test, or a reason');
  for (const [file] of reason.matchAll(/\w[\w-]*\/[\w./-]+\.\w+/g))
    assert.ok(existsSync(path.join(root, file)), `${file} exists`);
  for (const [, target] of reason.matchAll(/make ([\w-]+)/g))
    assert.match(makefile, new RegExp(`^${target}:`, 'm'), `make ${target} exists`);
}

/** A reader's machine: an empty folder, the packages, and a broker. */
class Reader {
  /** Starts a broker. Subscribers reach it through `proxy`, which can cut their connections. */
  static async start(fixture) {
    const proxy = await fixture.proxy();
    const broker = await fixture.broker({ STREAMER_SERVER_ADDRESS: proxy.url });
    proxy.upstreams.push(broker);
    const { folder } = fixture;
    // What stands in a block for the broker's address. It may be that of the proxy.
    return Object.assign(new Reader(), { fixture, broker, proxy, folder, address: broker.url });
  }

  /** What the broker prints for a reader to copy, and its program. */
  get environment() {
    return {
      PATH: `${path.dirname(BROKER)}:${process.env.PATH}`,
      HOME: this.folder,
      STREAMER_API_KEY: this.broker.apiKey,
      TINISTREAMER_BIN: BROKER,
    };
  }

  /** Saves a block under the name in its first line. Returns the path. */
  save(text) {
    const name = /^(?:\/\/|#|<!--) (\S+\.\w+)/.exec(text)?.[1];
    assert.ok(name, `the first line names the file: ${text.split('\n')[0]}`);
    const file = path.join(this.folder, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text.replaceAll(ADDRESS, this.address));
    return file;
  }

  /** Installs packages. That of this repository is a copy, as npm would pack it. */
  install(...names) {
    const modules = path.join(this.folder, 'node_modules');
    for (const part of ['bin', 'dist', 'package.json'])
      cpSync(path.join(library, part), path.join(modules, 'tinistreamer', part), {
        recursive: true,
      });
    for (const name of ['openapi-fetch', ...names])
      symlinkSync(path.join(root, PACKAGES[name], 'node_modules', name), path.join(modules, name));
  }

  /** Starts a program in the folder. `ended()` returns what it has printed. */
  start(command, args, environment = {}) {
    const env = { ...this.environment, ...environment };
    return run(this.fixture, command, args, { cwd: this.folder, env, detached: true });
  }

  /** Starts a block with Node. */
  node(text, args = [], environment = {}) {
    return this.start(process.execPath, [this.save(text), ...args], environment);
  }

  /** Starts a block with Python. */
  python(text, args = [], environment = {}) {
    return this.start(PYTHON, ['-Iu', this.save(text), ...args], environment);
  }

  /** Runs a block with pytest. Returns what it prints. */
  pytest(text) {
    return this.start(PYTHON, ['-m', 'pytest', '-q', this.save(text)]).ended();
  }

  /** Runs commands. Returns what they print. */
  shell(text, environment = {}) {
    const commands = text.replaceAll(ADDRESS, this.address);
    return this.start('bash', ['-euo', 'pipefail', '-c', commands], environment).ended();
  }

  /** Opens a page, and returns its tab. */
  async open(url) {
    const tab = await (await this.fixture.context()).newPage();
    await tab.goto(url);
    return tab;
  }

  /** Waits until a program has printed what fits. Returns the match. */
  printed(program, pattern) {
    const all = () => `${pattern} in ${program.out}${program.errors}`;
    return until(() => {
      if (program.child.exitCode > 0) throw new Error(`the program failed: ${all()}`);
      return pattern.exec(program.out);
    }, all);
  }

  /** A token for streams that may not exist yet. */
  async tokenFor(keys, options = {}) {
    const body = { keys, wait: true, ...options };
    return (await this.broker.call('/stream/token', body)).token;
  }

  /** Makes a request with a token or the API key. Returns the response. */
  request(route, { token, ...options } = {}) {
    const headers = token
      ? { Authorization: `Bearer ${token}` }
      : { 'X-API-KEY': this.broker.apiKey };
    const signal = AbortSignal.timeout(DEADLINE);
    return fetch(`${this.broker.url}/api${route}`, { signal, headers, ...options });
  }

  /** The names and data of the stored events of a stream. */
  async stored(key) {
    return (await this.broker.events(key)).map(({ event, data = '' }) => `${event}:${data}`);
  }
}

/** The names and data of server-sent events. */
export const framesOf = (text) =>
  [...text.matchAll(/^event: (.*)\ndata: ?(.*)$/gm)].map(([, event, data]) => `${event}:${data}`);
