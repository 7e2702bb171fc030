// The page as a whole: lets the operator in, keeps the live stream, and follows the address.

import { get, session, takeTokenFromFragment, token } from './api.js';
import { showDetail } from './detail.js';
import { attribute, byId, set } from './dom.js';
import { bindEvents } from './events.js';
import { legend } from './instances.js';
import { bindOverview } from './overview.js';
import { bindServices, linkOf, markOpen } from './services.js';
import { Stream } from './sse.js';
import { store } from './store.js';
import { bindTheme } from './theme.js';

const LIVE_SILENCE_MS = 6000;

let stream = null;
let detail = null;

function enter() {
  leave();
  attribute(byId('gate'), 'hidden', true);
  attribute(byId('app'), 'hidden', false);
  attribute(byId('forget'), 'hidden', false);
  store.setLink('connecting');
  stream = new Stream('live', {
    silence: LIVE_SILENCE_MS,
    onevent: (type, data) => {
      if (type === 'services') store.takeServices(data);
      else if (type === 'event') store.takeEvents([data]);
    },
    onstate: (state) => {
      store.setLink(state);
      if (state !== 'live') return;
      askHost();
      detail?.refresh();
    },
  });
  follow();
}

const askHost = () => get('host').then((host) => store.setHost(host)).catch(() => {});

function leave() {
  stream?.stop();
  stream = null;
  detail = showDetail(detail, null);
}

function ask(why) {
  leave();
  attribute(byId('app'), 'hidden', true);
  attribute(byId('forget'), 'hidden', true);
  attribute(byId('gate'), 'hidden', false);
  attribute(byId('outage'), 'hidden', true);
  set(byId('status'), '');
  byId('confirm').close();
  set(byId('gate-why'), why);
  byId('gate-token').value = '';
  byId('gate-token').focus();
}

/** Which service the address names. */
const named = () => new URLSearchParams(location.hash.slice(1)).get('service');

function follow() {
  if (takeTokenFromFragment()) return enter();
  if (!stream) return undefined;
  const name = named();
  const before = detail?.name ?? null;
  if (name === before) return undefined;
  detail = showDetail(detail, name, close);
  markOpen(name);
  showEvents(name);
  if (name) byId('detail-title').focus({ preventScroll: false });
  else linkOf(before)?.focus();
  return undefined;
}

function close() {
  history.pushState(null, '', location.pathname);
  follow();
}

legend(byId('legend'));
bindTheme(byId('theme'));
bindOverview();
bindServices();
const showEvents = bindEvents();

store.on('services', () => { detail?.update(); markOpen(detail?.name ?? null); });
store.on('events', (events) => {
  detail?.takeEvents(events);
  if (events.some((event) => event.kind === 'host_stopping')) askHost();
});
session.addEventListener('unauthorized', () => {
  token.forget();
  ask('The host does not know this token. It may have been started with another data directory.');
});
byId('gate-form').addEventListener('submit', (event) => {
  event.preventDefault();
  token.set(byId('gate-token').value);
  enter();
});
byId('forget').addEventListener('click', () => { token.forget(); ask(''); });
addEventListener('hashchange', follow);
addEventListener('popstate', follow);
addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && detail && !byId('confirm').open && event.target.type !== 'search') close();
});

takeTokenFromFragment();
if (token.get()) enter();
else ask('');
