// examples/dashboard, started as a user starts it.

import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { kill, start } from '../../support/processes.mjs';
import { DEADLINE, until } from '../harness.mjs';

const folder = fileURLToPath(new URL('../../../examples/dashboard/', import.meta.url));
const BROKER = fileURLToPath(new URL('../../../target/debug/tinistreamer', import.meta.url));

/** The dashboard's backend, and a broker that pages reach through a proxy. */
export async function startDashboard(fixture) {
  const proxy = await fixture.proxy();
  const broker = await fixture.broker({ STREAMER_SERVER_ADDRESS: proxy.url });
  proxy.upstreams.push(broker);
  const backend = await run(fixture, {
    TINISTREAMER_URL: broker.url,
    TINISTREAMER_API_KEY: broker.apiKey,
  });
  return { broker, proxy, ...backend };
}

/** The same with a broker of its own. */
export const startAlone = (fixture) =>
  run(fixture, {
    HOME: process.env.HOME,
    TINISTREAMER_BIN: path.resolve(process.env.TINISTREAMER_BIN ?? BROKER),
  });

async function run(fixture, settings) {
  const child = start(process.execPath, ['start.mjs'], {
    cwd: folder,
    env: { PATH: process.env.PATH, PORT: '0', ...settings },
  });
  fixture.atClose(() => kill(child));
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  const url = await until(
    () => /Open (http:\S+)/.exec(out)?.[1],
    () => `an address in:\n${out}\n${err}`,
  );
  return { child, url, errors: () => err };
}

export async function openDashboard(fixture, { url }, options) {
  const page = await (await fixture.context(options)).newPage();
  const problems = [];
  page.on('pageerror', (error) => problems.push(`${error}`));
  await page.goto(url);
  return new Dashboard(page, problems);
}

class Dashboard {
  constructor(page, problems) {
    Object.assign(this, { page, problems });
  }

  is(state) {
    return this.page.locator(`#state[data-state="${state}"]`).waitFor();
  }

  cut() {
    return this.page.getByText('Cut the connection').click();
  }

  show(what) {
    return this.page.getByText(what, { exact: true }).click();
  }

  async figure(name) {
    return Number((await this.page.textContent(`#${name}`)).replaceAll(',', ''));
  }

  /** All tiles: their sources, states and event counts. */
  tiles() {
    return this.page.locator('.tile').evaluateAll((tiles) =>
      tiles.map((tile) => {
        const text = tile.querySelector('.ledger').textContent;
        const figure = (word) => Number(new RegExp(`${word}\\s(\\S+)`).exec(text)?.[1] ?? 0);
        const { slug, kind, state } = tile.dataset;
        return {
          slug,
          kind,
          state,
          got: figure('got'),
          gaps: figure('gaps'),
          repeats: figure('repeats'),
          filtered: figure('filtered'),
        };
      }),
    );
  }

  /** Resolves with the tiles when they pass the test. */
  reach(what, test, timeout = DEADLINE) {
    const look = async () => {
      const tiles = await this.tiles();
      return tiles.length > 0 && test(tiles) && tiles;
    };
    return until(look, what, Date.now() + timeout);
  }
}
