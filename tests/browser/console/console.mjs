// The console in one tab, and the checks that apply to every page.

import assert from 'node:assert/strict';
import { onStores, until } from '../harness.mjs';

/**
 * A test whose `visit` opens the console. It fails, too, when a page did what none ever should.
 */
export function onConsole(name, body, stores, timeout) {
  onStores(
    name,
    async (fixture) => {
      const tabs = [];
      const visit = async (broker, options) => {
        const tab = await openTab(fixture, broker, options);
        tabs.push(tab);
        return tab;
      };
      try {
        await body(fixture, visit);
      } catch (failure) {
        // When a page has failed, the test mostly times out. The page's error says more.
        const problems = tabs.flatMap((tab) => tab.problems);
        throw problems.length > 0
          ? new AggregateError(
              [failure, ...problems.map((text) => new Error(text))],
              failure.message,
            )
          : failure;
      }
      assert.deepEqual(
        tabs.flatMap((tab) => tab.problems),
        [],
      );
    },
    stores,
    timeout,
  );
}

/**
 * A broker with its console. Over Redis its delivery is shared, as where there are more than a few
 * clients.
 */
export const consoleBroker = (fixture, settings = {}) =>
  fixture.broker({ STREAMER_CONSOLE: 'on', STREAMER_DELIVERY: 'shared', ...settings });

/**
 * A tab with the console at `at`, signed in unless `apiKey` is null; `script` is one that runs in
 * it.
 */
async function openTab(
  fixture,
  broker,
  { at = '#/', apiKey = broker.apiKey, context: options, script } = {},
) {
  const context = await fixture.context(options);
  const page = await context.newPage();
  const tab = new Tab(page, broker);
  await tab.watch();
  if (script) await page.addInitScript({ path: script });
  await page.goto(`${broker.url}/${at}`);
  if (apiKey !== null) await tab.signIn(apiKey);
  return tab;
}

class Tab {
  /** The errors so far. */
  problems = [];
  /** The URLs of all requests and WebSockets. */
  urls = [];
  #expected = [];

  constructor(page, broker) {
    Object.assign(this, { page, broker });
    this.main = page.locator('main');
    this.title = page.getByRole('heading', { level: 1 });
    this.banner = page.locator('.banner');
    this.notices = page.locator('.notice p');
    this.list = page.getByRole('listbox', { name: 'Events' });
    this.rows = this.list.getByRole('option');
  }

  /** Installs the checks before the first script runs. */
  async watch() {
    const { page, problems } = this;
    page.on('pageerror', (error) => problems.push(`page error: ${error.stack ?? error}`));
    page.on('dialog', (dialog) => {
      problems.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    page.on('console', (message) => {
      if (message.type() !== 'error') return;
      const text = `${message.text()} (${message.location().url})`;
      if (!this.#expected.some((pattern) => pattern.test(text))) problems.push(`console: ${text}`);
    });
    page.on('request', (request) => this.#note(request.url()));
    page.on('websocket', (socket) => this.#note(socket.url()));
    await page.exposeFunction('reportViolation', (violation) =>
      problems.push(`against the policy: ${violation}`),
    );
    await page.addInitScript(() => {
      addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sample }) =>
        window.reportViolation(`${violatedDirective} ${blockedURI} ${sample}`),
      );
    });
  }

  #note(url) {
    this.urls.push(url);
    const { protocol, host } = new URL(url);
    if (!['http:', 'ws:'].includes(protocol) || host !== new URL(this.broker.url).host)
      this.problems.push(`requested ${url}`);
  }

  /**
   * Browsers log answers such as 401 and 503, and broken connections, as errors, whatever the page
   * makes of them.
   */
  expect(...patterns) {
    this.#expected.push(...patterns);
  }

  async signIn(apiKey) {
    await this.page.getByLabel('Key', { exact: true }).fill(apiKey);
    await this.page.keyboard.press('Enter');
    await this.page.getByRole('navigation', { name: 'Console' }).waitFor();
  }

  async go(at) {
    await this.page.goto(`${this.broker.url}/${at}`);
  }

  async openStream(key, tab = 'events') {
    await this.go(addressOf(key, tab));
    await until(async () => (await this.title.textContent()) === key, `the page of ${key}`);
  }

  /** The view of a stream's page. */
  async show(name) {
    await this.page.getByRole('tab', { name }).click();
  }

  async publishBy(way) {
    await this.page.getByRole('radiogroup').getByText(way).click();
  }

  /** How the page itself follows its stream. */
  follows(state) {
    return this.page.locator(`.tabs .state.${state}`).waitFor();
  }

  button(name) {
    return this.page.getByRole('button', { name });
  }

  pane(transport) {
    return new Pane(this.page.locator(`.pane[data-transport="${transport}"]`));
  }
}

class Pane {
  constructor(root) {
    this.root = root;
  }

  is(state) {
    return this.root.and(this.root.page().locator(`.pane.${state}`)).waitFor();
  }

  press(name) {
    return this.root.getByRole('button', { name }).click();
  }

  text() {
    return this.root.locator('.text').textContent();
  }

  wire() {
    return this.root.locator('.wire pre').textContent();
  }

  /** The figures of the strip, and the kind of each cell. */
  async strip() {
    const words = await this.root.locator('.sum span').allTextContents();
    const figure = (word) =>
      Number(
        new RegExp(`^([\\d,]+) ${word}s?$`, 'm').exec(words.join('\n'))?.[1].replaceAll(',', ''),
      );
    const last = Number(/– ([\d,]+)$/.exec(words[0])?.[1].replaceAll(',', '') ?? -1);
    const cells = await this.root
      .locator('.cells i')
      .evaluateAll((cells) => cells.map(({ className }) => className));
    return {
      words,
      last,
      gaps: figure('gap'),
      repeats: figure('repeat'),
      connections: figure('connection'),
      cells,
    };
  }

  async reaches(number) {
    await until(async () => (await this.strip()).last >= number, `event ${number} in the pane`);
  }
}

/** Where in the console a stream is. */
export const addressOf = (key, tab = 'events') => `#/stream?${new URLSearchParams({ key, tab })}`;
