// The dashboard of a real server, in a real browser: a deploy, a trap, a canary that is taken back.
// ADMIN, FRONT: the server's addresses; TOKEN: its token; ONE, TWO, FAULT: components; PICTURE: where
// to put a screenshot, if anywhere. The server has the services `hello` (ONE) and `fault` (FAULT).

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import test, { after, before } from 'node:test';
import { complaints, launch, until } from './browser.mjs';

const { ADMIN, FRONT, TOKEN, TWO, FAULT, PICTURE } = process.env;
const GRANTED = `[grants]
keyvalue = ['counts']
http = ['http://127.0.0.1:1']
services = ['hello']
[grants.config]
answer = '42'
`;

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

async function open(t, service) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: 'reduce' });
  const page = await context.newPage();
  const complained = complaints(page);
  t.after(async () => {
    await context.close();
    assert.deepEqual(complained, []);
  });
  await page.goto(`${ADMIN}/#token=${TOKEN}&service=${service}`);
  await page.getByText('Live', { exact: true }).waitFor();
  await page.getByRole('heading', { name: service }).waitFor();
  return page;
}

/** Deploys as `wharf deploy` does. */
async function deploy(name, component, manifest) {
  const form = new FormData();
  form.set('component', new Blob([await readFile(component)]), 'component.wasm');
  if (manifest) form.set('manifest', manifest);
  const headers = { authorization: `Bearer ${TOKEN}` };
  const response = await fetch(`${ADMIN}/api/services/${name}`, { method: 'PUT', headers, body: form });
  assert.equal(response.status, 200, await response.text());
}

const detail = (page) => page.locator('#detail');

test('a deploy is seen', async (t) => {
  const page = await open(t, 'hello');
  await deploy('hello', TWO);
  await until('the event', async () => /release 2 is live/i.test(await page.locator('body').innerText()));
  await until('the running release', async () => /^2\b/.test(await page.locator('tr.live').innerText()));
});

test('a trap is seen, with its backtrace', async (t) => {
  const page = await open(t, 'fault');
  const response = await fetch(`${FRONT}/fault/trap`);
  assert.equal(response.status, 500);
  await until('the exit', async () => /unreachable/.test(await detail(page).innerText()));
  await until('the event', async () => /instance ended/i.test(await page.locator('body').innerText()));
});

test('an instance is killed from the page', async (t) => {
  const page = await open(t, 'fault');
  const kill = detail(page).getByRole('button', { name: /^Kill instance/ }).first();
  const name = (await kill.getAttribute('aria-label')) ?? (await kill.innerText());
  const id = /\d+/.exec(name)[0];
  await kill.click();
  await page.getByRole('dialog').getByRole('button', { name: 'Kill it' }).click();
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  await until('it is gone', async () => (await detail(page).getByRole('button', { name: `Kill instance ${id}`, exact: true }).count()) === 0);
});

test('a canary that fails is seen, and seen to be taken back', async (t) => {
  const page = await open(t, 'hello');
  await deploy('hello', FAULT, `${GRANTED}[rollout]\ncanary = '30%'\nfor = '1h'\nby = 'request'\n`);
  await until('the canary', async () => /Evidence that it is worse/.test(await detail(page).innerText()));
  let asked = 0;
  await until('the rollback', async () => {
    for (let times = 0; times < 20; times += 1) {
      asked += 1;
      const response = await fetch(`${FRONT}/hello/trap?${asked}`);
      assert.equal(response.status, 200, 'the running release answers in its place');
    }
    return /was taken back by the host/.test(await page.locator('body').innerText());
  });
  await until('the canary is gone', async () => !/Evidence that it is worse/.test(await detail(page).innerText()));
  if (PICTURE) {
    await page.screenshot({ path: PICTURE });
  }
});
