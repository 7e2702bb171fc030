// How instances of a service ended, with what the guest was doing.

import { get } from './api.js';
import { el, keyed } from './dom.js';
import { clock, count, short, span } from './format.js';
import { Section } from './section.js';

const SHOWN = 50;

export class Exits extends Section {
  constructor(name) {
    super('Exits', 'exits');
    this.name = name;
    this.content.append(this.list = el('ol', { class: 'exit-list' }));
  }

  async fetch() {
    const { exits } = await get(`exits?${new URLSearchParams({ service: this.name, limit: SHOWN })}`);
    this.count(exits.length);
    keyed(this.list, exits, (exit) => `${exit.instance}@${exit.at}`, exitNode);
    this.empty(exits.length ? '' : 'No instance of this service has ended.');
  }
}

function exitNode(exit) {
  const fact = (term, value) => el('div', {}, el('dt', { text: term }), el('dd', { text: value }));
  return el('li', {}, el('details', {},
    el('summary', {},
      el('time', { text: clock(exit.at) }),
      el('span', { class: 'tag', text: exit.reason }),
      el('span', { class: 'message', text: exit.message })),
    el('dl', { class: 'facts' },
      fact('Instance', exit.instance), fact('Release', short(exit.release)), fact('Lived', span(exit.age_seconds)),
      fact('Served', count(exit.served)), fact('Requests in it', exit.requests.join(', ') || 'none')),
    exit.backtrace.length
      ? el('ol', { class: 'backtrace', start: 0, 'aria-label': 'Guest backtrace', tabindex: 0 }, ...exit.backtrace.map((frame) => el('li', { text: frame })))
      : el('p', { class: 'note', text: 'There is no backtrace of this end.' })));
}
