// The instances of a service one by one, with what can be done to each.

import { drain, kill } from './actions.js';
import { el, keyed, set } from './dom.js';
import { bytes, count, span } from './format.js';
import { kindOf, tell } from './instances.js';
import { Section, table } from './section.js';

export class Instances extends Section {
  constructor(name) {
    super('Instances', 'instances');
    this.name = name;
    const { node, body } = table('Instances', ['Instance', 'State', 'In flight', 'Served', 'Memory', 'Age', ''], ['num', '', 'num', 'num', 'num', 'num', '']);
    this.body = body;
    this.content.append(node);
  }

  update(service) {
    const canary = (service.canary?.instances ?? []).map((instance) => ({ ...instance, canary: true }));
    const all = [...service.instances.filter((i) => !canary.some((c) => c.id === i.id)), ...canary];
    set(this.number, all.length ? tell(all).replace(/^\d+ instances?: /, '') : '');
    keyed(this.body, all, (i) => i.id, (i) => this.#row(i), (row, i) => {
      const [, state, flying, served, memory, age] = row.cells;
      set(state, `${kindOf(i)}${i.canary ? ', canary' : ''}`);
      set(flying, service.concurrency > 1 ? `${i.in_flight} of ${service.concurrency}` : i.in_flight);
      set(served, count(i.served));
      set(memory, bytes(i.memory_bytes));
      set(age, span(i.age_seconds));
      row.querySelector('.drain').disabled = i.state === 'draining';
    });
    this.empty(all.length ? '' : 'No instance runs.');
  }

  #row({ id }) {
    const button = (className, text, act) => el('button', { type: 'button', class: `small ${className}`, text, 'aria-label': `${text} instance ${id}`, onclick: () => act(this.name, id) });
    return el('tr', {}, el('th', { scope: 'row', class: 'num', text: id }), el('td'), el('td', { class: 'num' }), el('td', { class: 'num' }), el('td', { class: 'num' }), el('td', { class: 'num' }),
      el('td', { class: 'acts' }, button('drain', 'Drain', drain), button('kill', 'Kill', kill)));
  }
}
