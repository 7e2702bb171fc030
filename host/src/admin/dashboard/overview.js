// The strip above all: totals of the host, its state, and which services need attention.

import { attribute, byId, el, keyed, set } from './dom.js';
import { clock, count, latency, span } from './format.js';
import { kindOf } from './instances.js';
import { mark, remark } from './marks.js';
import { notices } from './notices.js';
import { store } from './store.js';

const LINKS = { connecting: 'Connecting', live: 'Live', lost: 'Reconnecting' };

export function bindOverview() {
  store.on('services', () => { totals(); attention(); host(); });
  store.on('host', host);
  store.on('link', link);
  link();
}

function totals() {
  const services = [...store.services.values()];
  const instances = services.flatMap((s) => s.instances);
  const sum = (key) => services.reduce((all, s) => all + (s.live?.[key] ?? 0), 0);
  const slowest = services.filter((s) => s.live?.p99_seconds).sort((a, b) => b.live.p99_seconds - a.live.p99_seconds)[0];
  const entries = [
    ['Services', count(services.length)],
    ['Instances', count(instances.length), `${count(instances.filter((i) => kindOf(i) === 'busy').length)} busy`],
    ['Requests', count(sum('requests_per_second')), 'a second'],
    ['Errors', count(sum('errors_per_second')), 'a second'],
    ['Sheds', count(sum('sheds_per_second')), 'a second'],
    ['Slowest p99', slowest ? latency(slowest.live.p99_seconds) : '–', slowest?.name ?? ''],
  ];
  keyed(byId('totals'), entries, ([term]) => term,
    ([term]) => el('div', {}, el('dt', { text: term }), el('dd', {}, el('b'), ' ', el('small'))),
    (node, [, value, note = '']) => { set(node.querySelector('b'), value); set(node.querySelector('small'), note); });
}

function attention() {
  const needy = [...store.services.values()]
    .map((service) => ({ service, worst: notices(service, store.now).find((notice) => notice.tone !== 'info') }))
    .filter(({ worst }) => worst);
  const nav = byId('attention');
  attribute(nav, 'hidden', needy.length === 0);
  keyed(nav, needy, ({ service }) => service.name,
    ({ service }) => el('a', { href: `#${new URLSearchParams({ service: service.name })}` }, mark('info'), el('b', { text: service.name }), el('span')),
    (node, { worst }) => {
      attribute(node, 'class', worst.tone);
      remark(node.firstChild, worst.mark);
      set(node.lastChild, { back: 'taken back', failed: worst.word.toLowerCase(), held: 'waits for you' }[worst.key] ?? worst.key);
    });
  document.title = needy.length ? `(${needy.length}) Wharf` : 'Wharf';
}

function host() {
  const { host: of } = store;
  const facts = of ? [['Wharf', of.version], ['requests at', of.listen], ['up', span(store.now - of.started_at)], ...(of.stopping ? [['and', 'stopping']] : [])] : [];
  keyed(byId('host'), facts, ([term]) => term, ([term]) => el('span', {}, `${term} `, el('b')), (node, [, value]) => set(node.lastChild, value));
  attribute(byId('host'), 'title', of && `wasmtime ${of.wasmtime}, process ${of.pid}, ${of.cores} cores, admin at ${of.admin}`);
}

function link() {
  const status = byId('status');
  set(status, LINKS[store.link]);
  attribute(status, 'data-link', store.link);
  document.body.classList.toggle('stale', store.link === 'lost');
  const outage = byId('outage');
  attribute(outage, 'hidden', store.link !== 'lost');
  set(outage, store.link === 'lost' ? `The host does not answer. ${store.known ? `What you see is from ${clock(store.at)}. ` : ''}The page reconnects by itself.` : '');
}
