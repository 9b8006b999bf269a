// The scripts, and the pages without a library.

import assert from 'node:assert/strict';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { kill, start } from '../../support/processes.mjs';
import { CuttingProxy } from '../../support/proxy.mjs';
import { numberOf, random, range, until, withStatus } from '../harness.mjs';
import { examples, printed, withBroker } from './programs.mjs';

withBroker(
  'the scripts and the pages without a library show each line once, over broken connections',
  async (fixture) => {
    const proxy = await fixture.listen(new CuttingProxy([]));
    const broker = await fixture.broker({ STREAMER_SERVER_ADDRESS: proxy.url });
    proxy.upstreams.push(broker);
    const run = (script, server) => {
      const env = {
        PATH: process.env.PATH,
        TINISTREAMER_URL: server.url,
        STREAMER_API_KEY: broker.apiKey,
      };
      const child = start(path.join(examples, 'curl', script), ['lines'], { env });
      fixture.atClose(() => kill(child));
      return child;
    };
    const lines = ['one', 'two "quoted" \\ words', '\ttabbed', '', 'drei & 茶 🍵', 'six'];

    const publisher = run('publish.sh', broker);
    const addresses = await printed(
      publisher,
      /eventsource.html: (\S+)\nfor websocket.html: +(\S+)\n/,
      (found) => found.slice(1),
    );
    const pages = [];
    for (const [name, address] of [
      ['eventsource.html', addresses[0]],
      ['websocket.html', addresses[1]],
    ]) {
      const page = await (await fixture.context()).newPage();
      await page.goto(`file://${path.join(examples, name)}`);
      await page.fill('input', address);
      await page.click('button');
      pages.push(page);
    }
    const subscriber = run('follow.sh', proxy);
    let followed = '';
    subscriber.stdout.on('data', (chunk) => (followed += chunk));

    const text = (count) =>
      lines
        .slice(0, count)
        .map((line) => `${line}\n`)
        .join('');
    const allShow = async (count) => {
      await until(async () => {
        const texts = await Promise.all(pages.map((page) => page.textContent('pre')));
        return (
          texts.every((shown) => shown === text(count)) &&
          followed.includes(`line: ${lines[count - 1]}\n`)
        );
      }, `${count} lines everywhere`);
    };
    publisher.stdin.write(text(3));
    await allShow(3);
    proxy.cutAll();
    publisher.stdin.end(
      lines
        .slice(3)
        .map((line) => `${line}\n`)
        .join(''),
    );
    await allShow(6);
    for (const page of pages)
      await page.waitForFunction(() => document.querySelector('output').value === 'ended');
    assert.deepEqual(await publisher.gone, { code: 0, signal: null });
    assert.deepEqual(await subscriber.gone, { code: 0, signal: null });
    assert.equal(followed, `start: \n${lines.map((line) => `line: ${line}\n`).join('')}end: \n`);
    assert.ok(proxy.cuts >= 3, `${proxy.cuts} cuts`);
    assert.deepEqual(
      (await broker.events('lines')).map(({ id }) => numberOf(id)),
      range(0, 8),
    );
  },
);

for (const script of ['follow-many.sh', 'poll.sh']) {
  withBroker(
    `${script} prints each event of several streams once, over broken connections`,
    async (fixture) => {
      const broker = await fixture.broker();
      const proxy = await fixture.listen(new CuttingProxy([broker]));
      const keys = ['build', 'chat 1/ä:,&=', `it's "quoted" $HOME \\ !`];
      for (const key of keys) await broker.stream(key, { max_events: 1_000 });
      // Cuts inside heads and lines, and between them. The first request, for the token, is not
      // cut.
      let connections = 0;
      proxy.allowance = () => (connections++ > 0 && proxy.cuts < 6 ? random(1, 4_000) : Infinity);
      const env = {
        PATH: process.env.PATH,
        TINISTREAMER_URL: proxy.url,
        STREAMER_API_KEY: broker.apiKey,
      };
      const child = start(path.join(examples, 'curl', script), keys, { env });
      fixture.atClose(() => kill(child));
      let printed = '';
      child.stdout.setEncoding('utf8').on('data', (chunk) => (printed += chunk));
      let ended;
      child.gone.then((how) => (ended = how));

      const write = async (from, to) => {
        for (const n of range(from, to)) {
          for (const key of keys)
            await broker.add(key, [
              { event: 'line', data: `${n} \\n \n ${'茶'.repeat(random(0, 20))}` },
            ]);
        }
      };
      for (let n = 0; proxy.cuts < 6; n += 10) {
        assert.equal(ended, undefined, printed);
        await write(n, n + 10);
        await sleep(200);
      }
      for (const key of keys) await broker.end(key);
      assert.deepEqual(await child.gone, { code: 0, signal: null });
      const events = printed
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line));
      for (const key of keys) {
        const stored = await broker.events(key);
        assert.deepEqual(
          events.filter((event) => event.key === key).map(({ key, ...event }) => event),
          withStatus(
            stored.map(({ time, ...event }) => event),
            'ended',
          ),
        );
      }
    },
  );
}
