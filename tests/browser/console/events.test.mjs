// The list of many events of a stream.

import assert from 'node:assert/strict';
import { range, until } from '../harness.mjs';
import { consoleBroker, onConsole } from './console.mjs';

const EVENTS = 10_000;
/** More rows than fit on the screen. */
const SCREENFUL = 60;
const BIG = '{"n": 12345678901234567890, "list": [1.10, true, null, {"deep": "a\\nb"}]}';

onConsole(
  '10,000 events scroll, keys select them, and the list follows new ones until the user scrolls up',
  async (fixture, visit) => {
    const { broker, tab, list } = await openMany(fixture, visit);
    await sees(list, EVENTS);
    assert.ok((await list.getByRole('option').count()) < SCREENFUL);
    assert.deepEqual(await numbers(list), range((await numbers(list))[0], EVENTS + 1));

    await list.hover();
    await tab.page.mouse.wheel(0, -1e6);
    await sees(list, 0);
    await list.evaluate((list) => list.scrollTo(0, list.scrollHeight / 2));
    await sees(list, EVENTS / 2 + 2);
    assert.ok((await list.getByRole('option').count()) < SCREENFUL);

    // After scrolling up the list stays there while other events come.
    const before = await list.evaluate((list) => list.scrollTop);
    await broker.add(
      'many',
      range(0, 3).map((n) => ({ event: 'token', data: `late ${n}` })),
    );
    await tab.button('Follow').getByText('3 new').waitFor();
    assert.equal(await list.evaluate((list) => list.scrollTop), before);
    await tab.button('Follow').click();
    await sees(list, EVENTS + 3);
    await broker.add('many', [{ event: 'token', data: 'followed' }]);
    await sees(list, EVENTS + 4);
    await tab.button('Pause').click();
    await broker.add('many', [{ event: 'token', data: 'paused' }]);
    await tab.button('Follow').getByText('1 new').waitFor();
    // Scrolling down to the end follows again, too.
    await list.hover();
    await tab.page.mouse.wheel(0, 1e6);
    await tab.button('Pause').waitFor();
    await sees(list, EVENTS + 5);
  },
);

onConsole('keys select a row, scroll to it, and announce it', async (fixture, visit) => {
  const { tab, list } = await openMany(fixture, visit);
  await sees(list, EVENTS);
  await list.focus();
  // The height determines how far Page Up and Page Down go.
  const press = async (key, low, high = low) => {
    await tab.page.keyboard.press(key);
    const chosen = list.getByRole('option', { selected: true });
    await until(
      async () => {
        const number = Number(await chosen.locator('.number').textContent());
        return (
          number >= low && number <= high && (await inSight(list, number)) && (await isActive(list))
        );
      },
      async () => `${key} chooses ${low} to ${high}`,
    );
    return Number(await chosen.locator('.number').textContent());
  };
  await press('Home', 0);
  await press('ArrowUp', 0);
  await press('ArrowDown', 1);
  const down = await press('PageDown', 3, SCREENFUL);
  await press('PageDown', down + 2, 2 * SCREENFUL);
  await press('PageUp', down);
  await press('End', EVENTS);
  await press('ArrowDown', EVENTS);
  await press('ArrowUp', EVENTS - 1);
});

onConsole(
  'a filter shows the events of one name, and the inspector shows JSON as it was written',
  async (fixture, visit) => {
    const { broker, tab, list } = await openMany(fixture, visit);
    await tab.page.getByLabel('Show').selectOption({ label: 'tool (100)' });
    await tab.page.getByText('100 of 10,001 events', { exact: true }).waitFor();
    await broker.call('/event/add', {
      key: 'many',
      events: [
        { event: 'tool', data: BIG },
        { event: 'token', data: 'other' },
      ],
    });
    await tab.page.getByText('101 of 10,003 events', { exact: true }).waitFor();
    assert.deepEqual(new Set(await list.locator('.name').allTextContents()), new Set(['tool']));
    await list.getByRole('option').last().click();
    const inspector = tab.page.getByRole('region', { name: 'Event' }).filter({ hasText: 'bytes' });
    assert.equal(await inspector.getByLabel('Data').textContent(), PRETTY);
    assert.match(
      await inspector.locator('dl').textContent(),
      new RegExp(`${Buffer.byteLength(BIG)} bytes of JSON`),
    );
    const { id, time } = (await broker.events('many')).at(-2);
    await inspector.getByText(id, { exact: true }).waitFor();
    await inspector.getByText(time, { exact: true }).waitFor();
    await inspector.getByRole('button', { name: 'Close' }).click();
    await inspector.waitFor({ state: 'detached' });
  },
);

const PRETTY = `{
  "n": 12345678901234567890,
  "list": [
    1.10,
    true,
    null,
    {
      "deep": "a\\nb"
    }
  ]
}`;

/** The page of a stream with events 0 to `EVENTS`. Each hundredth has another name. */
async function openMany(fixture, visit) {
  const broker = await consoleBroker(fixture);
  await broker.stream('many', { max_events: 2 * EVENTS });
  await broker.add(
    'many',
    range(1, EVENTS + 1).map((n) => ({ event: n % 100 ? 'token' : 'tool', data: `event ${n}` })),
  );
  const tab = await visit(broker);
  await tab.openStream('many');
  await tab.page.getByText('10,001 events', { exact: true }).waitFor();
  return { broker, tab, list: tab.list };
}

const numbers = async (list) => (await list.locator('.number').allTextContents()).map(Number);
const sees = (list, number) => until(() => inSight(list, number), `event ${number} in sight`);
const isActive = (list) =>
  list.evaluate(
    (list) =>
      document.getElementById(list.getAttribute('aria-activedescendant'))?.ariaSelected === 'true',
  );

/** Whether all of a row is within the list's own window. */
const inSight = (list, number) =>
  list.evaluate((list, number) => {
    const row = [...list.querySelectorAll('.row')].find(
      (row) => row.querySelector('.number').textContent === `${number}`,
    );
    if (!row) return false;
    const [inner, outer] = [row.getBoundingClientRect(), list.getBoundingClientRect()];
    return inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;
  }, number);
