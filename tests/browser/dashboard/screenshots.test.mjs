// Takes the pictures of the dashboard for the READMEs. `make screenshots` replaces them.

import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DEADLINE, onStores } from '../harness.mjs';
import { openDashboard, startDashboard } from './dashboard.mjs';

const repository = fileURLToPath(new URL('../../../', import.meta.url));
const forGood = process.env.UPDATE_SCREENSHOTS === '1';
const folder = path.join(repository, forGood ? 'docs/images' : 'target/screenshots');
/** For good, as long as the lines show. */
const BUSY_MS = forGood ? 40_000 : 1_000;
const CUT_MS = forGood ? 6_000 : 1_000;

onStores(
  'the dashboard has its picture taken',
  async (fixture) => {
    mkdirSync(folder, { recursive: true });
    const dashboard = await startDashboard(fixture);
    const desktop = await openDashboard(fixture, dashboard, {
      viewport: { width: 1280, height: 860 },
      colorScheme: 'light',
    });
    const phone = await openDashboard(fixture, dashboard, {
      viewport: { width: 390, height: 844 },
      deviceScaleFactor: 2,
      isMobile: true,
      colorScheme: 'light',
    });
    const shoot = ({ page }, name) =>
      page.screenshot({ path: path.join(folder, `dashboard-${name}.png`), animations: 'disabled' });
    await desktop.is('live');
    await sleep(BUSY_MS);
    await desktop.cut();
    await desktop.is('cut');
    await desktop.is('live');
    await sleep(CUT_MS);
    await shoot(desktop, 'light');
    await desktop.page.emulateMedia({ colorScheme: 'dark' });
    await desktop.show('Alerts only');
    await sleep(CUT_MS);
    await desktop.show('All events');
    await sleep(CUT_MS);
    await shoot(desktop, 'dark');
    await shoot(phone, 'phone');
  },
  ['memory'],
  BUSY_MS + 4 * DEADLINE,
);
