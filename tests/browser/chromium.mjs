// Starts Chromium.

import { after } from 'node:test';
import { chromium } from 'playwright-core';
import { DEADLINE } from '../support/processes.mjs';

export const CHROMIUM = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';

/**
 * A name for loopback that does not look like loopback. Some pages behave differently on 127.0.0.1.
 */
export const PUBLIC_NAME = 'broker.test';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // No request of a page leaves this machine.
  `--host-resolver-rules=MAP ${PUBLIC_NAME} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`,
];

// One Chromium for all scenarios of a file, because its start costs as much CPU as a short
// scenario. Each scenario has its own profiles. Profiles share no storage, no connections and no
// processes of pages. They do share the clipboard.
let running;
after(async () => (await running)?.close());

/** A new browser profile. */
export async function newProfile(options) {
  const profile = await (await (running ??= start())).newContext(options);
  profile.setDefaultTimeout(DEADLINE);
  return profile;
}

async function start() {
  // When Chromium does not start, or dies, the next scenario starts another.
  const forget = () => (running = undefined);
  try {
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    return browser.once('disconnected', forget);
  } catch (error) {
    forget();
    throw error;
  }
}
