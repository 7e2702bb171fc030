// What a user of the dashboard would notice, in a real browser against the fake server.
// `node dashboard.mjs [DIRECTORY]` also takes screenshots into DIRECTORY.

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { complaints, launch, until } from './browser.mjs';
import { FakeServer } from './fake/server.mjs';
import { parser } from '../../host/src/admin/dashboard/sse.js';

const SHOTS = process.argv[2];
const WIDE = { width: 1440, height: 900 };
const NARROW = { width: 390, height: 844 };
const LONG = 'payments-reconciliation-nightly-export-for-the-finance-department-in-the-northern-region-v2';

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

/** A page on a server of its own. What the browser complains of (policy violations, exceptions) fails the test at its end. */
async function scene(t, { server: options = {}, viewport = WIDE, scheme = 'light', open = '', entered = true } = {}) {
  const server = await new FakeServer({ story: false, ...options }).start();
  const context = await browser.newContext({ viewport, colorScheme: scheme, reducedMotion: 'reduce' });
  const page = await context.newPage();
  const complained = complaints(page);
  t.after(async () => {
    await context.close();
    await server.stop().catch(() => {});
    assert.deepEqual(complained, []);
  });
  if (entered) {
    await page.goto(`${server.url}#token=${server.token}${open && `&service=${encodeURIComponent(open)}`}`);
    await page.getByText('Live', { exact: true }).waitFor();
    await page.locator('.service').first().waitFor();
  }
  return { server, page, world: server.world, row: (name) => page.locator('.service').filter({ has: page.getByRole('link', { name, exact: true }) }) };
}

const shot = (page, name) => SHOTS && page.screenshot({ path: `${SHOTS}/${name}.png` });

test('events arrive whole, however the bytes are cut', () => {
  const text = ': hello\r\nid: 7\r\nevent: line\r\ndata: {"a":\r\ndata: 1}\r\n\r\nevent: none\n\ndata:x\n\n';
  for (let size = 1; size <= text.length; size += 1) {
    const got = [];
    const parse = parser((...event) => got.push(event));
    for (let at = 0; at < text.length; at += size) parse(text.slice(at, at + size));
    assert.deepEqual(got, [['line', '{"a":\n1}', '7'], ['message', 'x', null]]);
  }
});

test('without a token the page says where it is, and a wrong one brings the form back', async (t) => {
  const { server, page } = await scene(t, { entered: false });
  await page.goto(server.url);
  const form = page.getByRole('form', { name: 'This host asks for its token' });
  assert.match(await form.innerText(), /admin\.token[\s\S]*wharf dashboard/);
  await shot(page, 'token-light');
  await page.keyboard.type('wrong');
  await page.keyboard.press('Enter');
  await page.getByText('The host does not know this token').waitFor();
  await page.getByLabel('Admin token').fill(` ${server.token}\n`);
  await page.keyboard.press('Enter');
  await page.getByText('Live', { exact: true }).waitFor();
  server.token = 'another';
  await server.stop();
  await server.start();
  await form.waitFor();
});

test('the token leaves the address bar, and a reload still has it', async (t) => {
  const { server, page } = await scene(t, { open: 'login' });
  assert.equal(page.url(), `${server.url}#service=login`);
  await page.reload();
  await page.getByRole('heading', { name: 'login' }).waitFor();
  await page.getByRole('button', { name: 'Forget token' }).click();
  await page.getByLabel('Admin token').waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
});

test('each service is there with state, instances and charts, and is updated in place', async (t) => {
  const { page, row, world } = await scene(t);
  assert.equal(await page.locator('.service').count(), 14);
  assert.match(await row('mailer').innerText(), /broken/);
  assert.match(await row('login').getByRole('img', { name: /4 instances/ }).getAttribute('aria-label'), /(busy|idle)/);
  const line = row('login').locator('.requests .line');
  await until('the chart is filled from the history', async () => ((await line.getAttribute('d')) ?? '').split(/[ML]/).length > 100);
  await row('login').evaluate((node) => { node.dataset.same = 'yes'; });
  const was = await line.getAttribute('d');
  await until('the chart moves', async () => (await line.getAttribute('d')) !== was);
  assert.equal(await row('login').getAttribute('data-same'), 'yes');
  world.services.delete('login');
  await until('a removed service goes', async () => (await row('login').count()) === 0);
  await page.getByLabel('Filter services by name').fill('LEDG');
  assert.equal(await page.locator('.service:visible').count(), 1);
});

test('an instance that died is shown dead for a moment, one that retired is not', async (t) => {
  const { world, row } = await scene(t);
  const [first, second] = world.services.get('login').instances.map((i) => i.id);
  world.end('login', first, 'retired', 'it has served its requests');
  world.end('login', second, 'trap', 'wasm trap: unreachable');
  await row('login').getByRole('img', { name: /1 dead/ }).waitFor();
  await until('it is cleared away', async () => (await row('login').getByRole('img', { name: /dead/ }).count()) === 0);
});

test('a canary stands beside the running release, with evidence up to 100', async (t) => {
  const { page, world } = await scene(t, { open: 'checkout' });
  world.canary('checkout');
  Object.assign(world.services.get('checkout').canary, { doomed: false, requests: 310, failures: 9, running_requests: 2790, running_failures: 3, failure_evidence: 18.4, latency_evidence: 0.9 });
  const panel = page.locator('.canary-panel');
  await panel.waitFor();
  assert.match(await panel.innerText(), /\d+ s left[\s\S]*90 %[\s\S]*10 %/);
  const meter = panel.getByRole('meter', { name: /Failures/ });
  await until('the evidence is told', async () => (await meter.getAttribute('aria-valuenow')) === '18.4');
  const [all, part] = await meter.evaluate((node) => [node.clientWidth, node.firstChild.clientWidth]);
  assert.ok(Math.abs(part / all - Math.log10(18.4) / 2) < 0.02, `${part} of ${all}`);
  await shot(page, 'canary-light');
});

test('a rollback by the host is loud, on that service alone', async (t) => {
  const { page, world, row } = await scene(t);
  world.canary('checkout');
  world.takeBack('checkout');
  await row('checkout').getByText(/was taken back by the host/).waitFor();
  assert.equal(await page.locator('.service .loud').count(), 1);
  await page.getByRole('navigation').getByRole('link', { name: /checkout taken back/ }).click();
  await page.locator('#detail .loud').getByText(/14 of its 120 requests failed/).waitFor();
  await page.locator('#events .rolled_back').first().waitFor();
  await until('it is told to screen readers', async () => /taken back/.test(await page.locator('#announcer').textContent()));
  await page.locator('tr.taken_back').first().waitFor();
});

test('a held release shows what it asks for, and resume takes it live after a question', async (t) => {
  const { server, page } = await scene(t, { open: 'ledger' });
  await page.locator('#detail .capabilities').getByText('wasi:keyvalue/store@0.2.0-draft2').waitFor();
  await page.getByRole('button', { name: 'Resume with held release' }).click();
  const dialog = page.getByRole('dialog', { name: /Take the held release of ledger live/ });
  await dialog.getByText('wasi:http/outgoing-handler@0.2.6').waitFor();
  await page.keyboard.press('Escape');
  assert.deepEqual(server.calls, []);
  await page.getByRole('button', { name: 'Resume with held release' }).click();
  await dialog.getByRole('button', { name: 'Take it live' }).click();
  await page.locator('#detail .capabilities').waitFor({ state: 'hidden' });
  assert.deepEqual(server.calls.map(({ method, path }) => [method, path]), [['POST', '/api/services/ledger/resume']]);
});

test('kill, drain, hold and rollback ask first, and send what they say', async (t) => {
  const { server, page, world } = await scene(t, { open: 'login' });
  const [first, second] = world.services.get('login').instances.map((i) => i.id);
  const ask = async (button, choice) => {
    await page.locator('#detail').getByRole('button', { name: button, exact: true }).click();
    await page.getByRole('dialog').getByRole('button', { name: choice }).click();
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
  };
  await ask(`Kill instance ${first}`, 'Cancel');
  assert.deepEqual(server.calls, []);
  await ask(`Kill instance ${first}`, 'Kill it');
  await ask(`Drain instance ${second}`, 'Drain it');
  await ask('Hold deploys', 'Hold deploys');
  await ask('Resume deploys', 'Resume');
  await ask('Roll back', 'Go to release 6');
  await page.getByText('login now has release 6.').waitFor();
  const base = '/api/services/login';
  assert.deepEqual(server.calls.map(({ method, path, body }) => `${method} ${path} ${body}`.trim()), [`DELETE ${base}/instances/${first}`, `POST ${base}/instances/${second}/drain`, `POST ${base}/hold`, `POST ${base}/resume`, `POST ${base}/rollback {"release":"6"}`]);
  await until('release 6 is marked', async () => /^6\b/.test(await page.locator('tr.live').innerText()));
});

test('what the host refuses is said in the dialog, which stays', async (t) => {
  const { server, page } = await scene(t, { open: 'login' });
  server.fail = { status: 409, title: 'Conflict', detail: 'login is being deployed; try again in a moment' };
  await page.getByRole('button', { name: 'Hold deploys' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Hold deploys' }).click();
  await page.getByRole('dialog').getByText('login is being deployed; try again in a moment').waitFor();
});

test('exits have the guest’s backtrace, logs follow, and what guests say stays text', async (t) => {
  const { page, world } = await scene(t, { open: 'thumbnails' });
  const hostile = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>';
  world.end('thumbnails', world.services.get('thumbnails').instances[0].id, 'trap', hostile, [hostile, 'thumbnails::resize at src/resize.rs:66'], [hostile]);
  world.log('thumbnails', hostile, 'stderr');
  const exit = page.locator('.exit-list details').first();
  await exit.getByText('onerror').first().waitFor();
  await exit.locator('summary').click();
  await exit.getByText('src/resize.rs:66').waitFor();
  await page.locator('.lines').getByText(hostile).waitFor();
  assert.equal(await page.locator('main img, main script').count(), 0);
  assert.doesNotMatch(await page.title(), /owned/);
  const lines = page.locator('.lines');
  for (let i = 0; i < 80; i += 1) world.log('thumbnails', `line ${i}`);
  await lines.getByText('line 79').waitFor();
  const atEnd = () => lines.evaluate((node) => node.scrollHeight - node.scrollTop - node.clientHeight < 30);
  await until('the log follows', atEnd);
  await lines.evaluate((node) => { node.scrollTop = 0; });
  await page.getByRole('button', { name: 'Follow' }).waitFor();
  world.log('thumbnails', 'the very last');
  await lines.getByText('the very last').waitFor();
  assert.equal(await atEnd(), false);
  await page.getByRole('button', { name: 'Follow' }).click();
  await until('it follows again', atEnd);
});

test('the page says that it reconnects, and goes on once the host is back', async (t) => {
  const { server, page, world } = await scene(t, { open: 'login' });
  world.event('operator', 'login', 'info', 'before the restart');
  await page.locator('#events').getByText('before the restart').waitFor();
  await server.stop();
  await page.getByText('Reconnecting', { exact: true }).waitFor();
  await page.getByText(/The host does not answer. What you see is from/).waitFor();
  await shot(page, 'reconnecting-light');
  await page.getByRole('button', { name: 'Hold deploys' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Hold deploys' }).click();
  await page.getByRole('dialog').getByText('The host does not answer.').waitFor();
  await page.keyboard.press('Escape');
  world.event('operator', 'login', 'info', 'while it was away');
  await server.start();
  await page.getByText('Live', { exact: true }).waitFor();
  await page.locator('#events').getByText('while it was away').waitFor();
  const ids = await page.evaluate(async () => (await import('/assets/store.js')).store.events.map((event) => event.id));
  assert.equal(new Set(ids).size, ids.length, 'no event is taken twice');
  world.log('login', 'logged after the restart');
  await page.locator('.lines').getByText('logged after the restart').waitFor();
});

test('all of it can be done from the keyboard', async (t) => {
  const { page } = await scene(t);
  const focused = () => page.evaluate(() => document.activeElement.textContent);
  for (let i = 0; i < 40 && (await focused()) !== 'login'; i += 1) await page.keyboard.press('Tab');
  assert.equal(await focused(), 'login');
  assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'none');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'login', exact: true }).waitFor();
  assert.equal(await focused(), 'login');
  for (let i = 0; i < 40 && (await focused()) !== 'Kill'; i += 1) await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  assert.equal(await focused(), 'Cancel');
  await page.keyboard.press('Escape');
  assert.equal(await focused(), 'Kill');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await until('the focus stays near the instance that went', () => page.evaluate(() => document.activeElement.getAttribute('aria-label') === 'Instances'));
  await page.keyboard.press('Escape');
  await page.locator('#detail').waitFor({ state: 'hidden' });
  assert.equal(await focused(), 'login');
  await page.goBack();
  await page.getByRole('heading', { name: 'login', exact: true }).waitFor();
});

test('fifty services: nothing is built anew each second, and only what is in view is drawn', async (t) => {
  const { page } = await scene(t, { server: { services: 50 } });
  assert.equal(await page.locator('.service').count(), 50);
  await page.waitForTimeout(2500); // the first histories
  const seen = await page.evaluate(() => new Promise((done) => {
    const counts = { rows: 0, drawn: new Set() };
    const observer = new MutationObserver((changes) => {
      for (const { type, target, addedNodes } of changes) {
        if (type === 'childList') counts.rows += [...addedNodes].filter((node) => /^(TBODY|TR|TD|TH|svg)$/.test(node.nodeName)).length;
        else if (target.nodeName === 'path' && target.classList.contains('line')) counts.drawn.add(target.closest('tbody'));
      }
    });
    observer.observe(document.getElementById('table'), { subtree: true, childList: true, attributes: true, attributeFilter: ['d'] });
    setTimeout(() => { observer.disconnect(); done({ rows: counts.rows, drawn: counts.drawn.size }); }, 4500);
  }));
  assert.equal(seen.rows, 0);
  assert.ok(seen.drawn > 3 && seen.drawn < 25, `${seen.drawn} rows drew`);
});

test('a host without services says how to get one', async (t) => {
  const { server, page } = await scene(t, { server: { empty: true }, entered: false });
  await page.goto(`${server.url}#token=${server.token}`);
  await page.getByText('No services yet. Put a component into the directory services').waitFor();
  await shot(page, 'empty-light');
});

test('the theme is kept', async (t) => {
  const { page } = await scene(t);
  const paper = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await paper();
  await page.getByRole('button', { name: 'Theme: auto' }).click();
  await page.getByRole('button', { name: 'Theme: light' }).click();
  assert.notEqual(await paper(), light);
  await page.reload();
  await page.getByRole('button', { name: 'Theme: dark' }).waitFor();
  assert.notEqual(await paper(), light);
});

/** Visible texts whose contrast with what is behind them is below AA. */
function lowContrast() {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const luminance = ([r, g, b]) => [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4)).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => { for (let at = node; at; at = at.parentElement) { const colour = rgb(getComputedStyle(at).backgroundColor); if (colour[3] === 255) return colour; } return [255, 255, 255]; };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    if (!text.textContent.trim() || !node.checkVisibility() || node.closest('.unseen, :disabled, noscript')) continue;
    const [a, b] = [luminance(rgb(getComputedStyle(node).color)), luminance(behind(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${node.className} ${text.textContent.slice(0, 30)}`);
  }
  return found;
}

for (const scheme of ['light', 'dark']) {
  for (const [size, viewport] of [['wide', WIDE], ['narrow', NARROW]]) {
    test(`${size} and ${scheme}: it fits, and all text has contrast AA`, async (t) => {
      const { page, world } = await scene(t, { viewport, scheme });
      world.trap();
      world.trap();
      world.quarantine();
      world.canary('signup', false);
      world.canary('checkout');
      world.takeBack('checkout');
      for (const name of ['', 'checkout', 'thumbnails', 'ledger', 'sandbox-draft', 'signup', LONG, 'nobody']) {
        await page.evaluate((to) => { location.hash = to && `service=${to}`; }, name);
        if (name) await page.getByRole('heading', { name, exact: true }).waitFor();
        await page.waitForTimeout(1200); // the parts that are fetched
        assert.deepEqual(await page.evaluate(lowContrast), [], name);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name || 'the overview'} is too wide`);
        const cut = await page.evaluate(() => [...document.querySelectorAll('button, .figure, #totals b')].filter((node) => node.checkVisibility() && node.scrollWidth > node.clientWidth + 1 && node.clientWidth).map((node) => node.textContent));
        assert.deepEqual(cut, [], name);
        await shot(page, `${size}-${scheme}-${name.slice(0, 12) || 'overview'}`);
      }
    });
  }
}
