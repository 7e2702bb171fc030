// The feed of events, newest first, and its quiet voice for screen readers.

import { get } from './api.js';
import { attribute, byId, el, keyed, set } from './dom.js';
import { clock, some } from './format.js';
import { mark } from './marks.js';
import { store } from './store.js';

const SHOWN = 150;
const VOICE_MS = 5000;
const RECENT_SECONDS = 8;

export function bindEvents() {
  const only = byId('only');
  const box = only.firstElementChild;
  const voice = new Voice(byId('announcer'));
  let open = null;
  const draw = () => {
    const shown = store.events.filter((event) => !(box.checked && open) || event.service === open).slice(-SHOWN).reverse();
    keyed(byId('events'), shown, (event) => event.id, eventNode);
    attribute(byId('feed'), 'data-empty', shown.length ? null : store.known ? 'Nothing has happened yet.' : 'Waiting for the host.');
  };
  box.addEventListener('change', () => {
    if (box.checked && open) get(`events?${new URLSearchParams({ service: open, limit: SHOWN })}`).then(({ events }) => store.takeEvents(events)).catch(() => {});
    draw();
  });
  store.on('events', (fresh) => { voice.say(fresh); draw(); });
  store.on('link', draw);
  return (name) => {
    if (open === name) return;
    open = name;
    box.checked = false;
    attribute(only, 'hidden', name === null);
    set(only.lastElementChild, name ? `only ${name}` : '');
    draw();
  };
}

function eventNode(event) {
  return el('li', { class: `event ${event.level} ${event.kind}` },
    mark(event.kind === 'rolled_back' ? 'back' : event.level),
    el('div', {},
      el('p', { class: 'meta' },
        el('time', { text: clock(event.at) }), ' ', el('span', { class: 'kind', text: event.kind.replaceAll('_', ' ') }),
        event.level === 'info' ? null : el('span', { class: 'unseen', text: `, ${event.level}` }),
        event.service ? el('a', { href: `#${new URLSearchParams({ service: event.service })}`, text: event.service }) : null),
      el('p', { class: 'message', text: event.message })));
}

/** Says what is new, at most every five seconds, and nothing of what is long past. */
class Voice {
  #waiting = [];
  #timer = 0;

  constructor(node) { this.node = node; }

  say(events) {
    this.#waiting.push(...events.filter((event) => store.now - event.at < RECENT_SECONDS));
    if (!this.#timer && this.#waiting.length) this.#speak();
  }

  #speak() {
    const told = this.#waiting.splice(0);
    const grave = told.filter((event) => event.level !== 'info');
    const said = (grave.length ? grave : told).slice(-2).map((event) => event.message).join(' ');
    set(this.node, told.length > 2 ? `${some(told.length, 'event')}. ${said}` : said);
    this.#timer = setTimeout(() => { this.#timer = 0; if (this.#waiting.length) this.#speak(); }, VOICE_MS);
  }
}
