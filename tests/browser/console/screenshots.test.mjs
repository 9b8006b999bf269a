// Takes the pictures of the console for the README, with a small load. `make screenshots` replaces
// them.

import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DEADLINE, random, range, until } from '../harness.mjs';
import { addressOf, consoleBroker, onConsole } from './console.mjs';

const repository = fileURLToPath(new URL('../../../', import.meta.url));
const forGood = process.env.UPDATE_SCREENSHOTS === '1';
const folder = path.join(repository, forGood ? 'docs/images' : 'target/screenshots');
/** For good, as long as the chart shows. */
const BUSY_MS = forGood ? 125_000 : 2_000;

onConsole(
  'the console has its picture taken',
  async (fixture, visit) => {
    mkdirSync(folder, { recursive: true });
    const broker = await consoleBroker(fixture, { STREAMER_MAX_CLIENTS: '100' });
    const traffic = new Traffic(fixture, broker);
    await traffic.begin();

    const tab = await visit(broker, { context: { viewport: desktop(930), colorScheme: 'light' } });
    const { page } = tab;
    await page.getByText('agent-run-12').waitFor();
    await sleep(BUSY_MS);
    await shoot(page, 'overview-light');

    await tab.go('#/clients');
    await page.getByText('Wall display').first().waitFor();
    await shoot(page, 'connected-light');

    await broker.stream('chat-4711');
    await page.setViewportSize(desktop(720));
    await tab.openStream('chat-4711', 'clients');
    const [sse, ws] = [tab.pane('sse'), tab.pane('ws')];
    for (const pane of [sse, ws]) await pane.press('Connect');
    await page.getByLabel('tokens a second').fill('24');
    await tab.button('Type').last().click();
    await ws.reaches(35);
    await ws.press('Cut the connection');
    await sse.reaches(95);
    await ws.press('Reconnect');
    await ws.reaches(130);
    await shoot(page, 'clients-light');
    await page.emulateMedia({ colorScheme: 'dark' });
    await shoot(page, 'clients-dark');

    await page.setViewportSize(desktop(860));
    await tab.openStream('agent-run-12');
    await tab.rows.filter({ hasText: 'tool-result' }).last().click();
    await page.locator('.inspector').waitFor();
    await shoot(page, 'events-dark');

    const phone = {
      viewport: { width: 390, height: 844 },
      deviceScaleFactor: 2,
      isMobile: true,
      hasTouch: true,
      colorScheme: 'light',
    };
    const small = await visit(broker, { at: addressOf('chat-4711', 'clients'), context: phone });
    for (const transport of ['sse', 'ws']) await small.pane(transport).press('Connect');
    await small.pane('ws').reaches(130);
    await shoot(small.page, 'phone-light');
    await traffic.end();
  },
  ['redis'],
  BUSY_MS + 3 * DEADLINE,
);

const desktop = (height) => ({ width: 1280, height });

async function shoot(page, name) {
  await page.evaluate(async () => {
    scrollTo(0, 0);
    await document.fonts.ready;
  });
  await page.mouse.move(0, 0);
  await page.screenshot({ path: path.join(folder, `console-${name}.png`), animations: 'disabled' });
}

const WORDS =
  'the quick answer to your question is that a stream keeps what it was given in order and without a gap'.split(
    ' ',
  );

const CLIENTS = [
  { client_name: 'Web app', tags: 'web,eu' },
  { client_name: 'Wall display', tags: 'lobby', events: 'token,row,log,tool-*' },
  { client_name: 'Android', tags: 'mobile,eu' },
  { client_name: 'Recorder', tags: 'internal' },
  {},
];

/** Backends that write at different rates, and subscribers that follow them. */
class Traffic {
  #going = true;
  #works = [];
  #readers = new AbortController();

  constructor(fixture, broker) {
    Object.assign(this, { fixture, broker });
    fixture.atClose(() => this.end());
  }

  async begin() {
    await this.#chat('chat-4698', 5);
    await this.#chat('chat-4705', 3);
    await this.#chat('support-882', 2);
    await this.#write('agent-run-12', 2, 700, (n) => [agentStep(n)]);
    await this.#write(
      'import-2026-11',
      1,
      2_500,
      (n) => range(0, 30).map((i) => ({ event: 'row', data: { row: 30 * n + i, ok: true } })),
      86_400,
    );
    await this.#write(
      'build-7f3a',
      1,
      400,
      (n) => [{ event: 'log', data: `   Compiling step ${n}` }],
      600,
    );
    const tab = await this.fixture.tab();
    const stream = await this.broker.call('/stream/token', { key: 'chat-4698' });
    await tab.evaluate(
      (url) => followSocket(url),
      `${stream.ws_url.replace(/:\/\/[^/]+/, `://127.0.0.1:${this.broker.port}`)}&token=${stream.token}`,
    );
  }

  async end() {
    this.#going = false;
    this.#readers.abort();
    await Promise.all(this.#works);
  }

  /** Answers one after the other, with pauses between them. */
  #chat(key, followers) {
    return this.#write(
      key,
      followers,
      () => (Math.random() < 0.03 ? random(3_000, 8_000) : random(40, 120)),
      (n) => [{ event: 'token', data: `${WORDS[n % WORDS.length]} ` }],
    );
  }

  async #write(key, followers, pause, events, ttl = 3_600) {
    const stream = await this.broker.stream(key, { max_events: 5_000, ttl });
    for (let n = 0; n < followers; n += 1) this.#follow(stream.sse(this.broker, CLIENTS[n]));
    const write = async () => {
      for (let n = 0; this.#going; n += 1) {
        await this.broker.add(key, events(n));
        await sleep(typeof pause === 'function' ? pause() : pause);
      }
    };
    this.#keep(write());
  }

  #follow(url) {
    const read = async () => {
      const response = await fetch(url, { signal: this.#readers.signal });
      for await (const _ of response.body);
    };
    this.#keep(read());
  }

  /** At the end readers are cut off, and that is all that may fail. */
  #keep(work) {
    this.#works.push(
      work.catch((failure) => {
        if (this.#going) throw failure;
      }),
    );
  }
}

function agentStep(n) {
  const steps = [
    {
      event: 'thought',
      data: 'I should look up what has changed since the last release before I answer.',
    },
    {
      event: 'tool-call',
      data: {
        id: 7_301 + n,
        tool: 'search',
        arguments: { query: 'last-event-id reconnect', limit: 5 },
      },
    },
    {
      event: 'tool-result',
      data: {
        id: 7_300 + n,
        hits: 5,
        took_ms: 42 + (n % 17),
        best: { title: 'Resuming a stream', score: 0.93 },
      },
    },
    { event: 'token', data: 'Reconnecting clients send the id of the last event that they saw. ' },
  ];
  return steps[n % steps.length];
}
