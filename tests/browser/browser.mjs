// The browser that the tests look at pages with.

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

/** Debian's Chromium, which `tests/run` installs. */
export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ARGS });
}

/** What the browser complains of on a page: exceptions, and violations of the policy. */
export function complaints(page) {
  const found = [];
  page.on('pageerror', (error) => found.push(error.message));
  page.on('console', (message) => { if (/Content Security Policy|Refused to/i.test(message.text())) found.push(message.text()); });
  return found;
}

/** Waits until `check` gives something, and gives it back. */
export async function until(what, check, ms = 30000) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) assert.fail(`in vain: ${what}`);
    await new Promise((again) => { setTimeout(again, 60); });
  }
}
