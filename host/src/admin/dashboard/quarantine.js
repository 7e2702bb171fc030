// The requests that are refused for a while, since they ended one instance after the other.

import { attribute, el, keyed, set } from './dom.js';
import { count, span } from './format.js';
import { Section, table } from './section.js';

export class Quarantine extends Section {
  constructor() {
    super('Quarantine', 'quarantine');
    const { node, body } = table('Quarantine', ['Request', 'Ended', 'Refused', 'For'], ['', '', 'num', 'num']);
    this.body = body;
    this.content.append(node);
  }

  update({ quarantine }) {
    attribute(this.node, 'hidden', quarantine.length === 0);
    keyed(this.body, quarantine, (entry) => entry.fingerprint,
      (entry) => el('tr', {}, el('th', { scope: 'row' }, el('code', { text: entry.line, title: `fingerprint ${entry.fingerprint}` })), el('td'), el('td', { class: 'num' }), el('td', { class: 'num' })),
      (row, entry) => {
        set(row.cells[1], `${entry.kills} in a row: ${entry.instances.map((i) => `${i.id} (${i.reason})`).join(', ')}`);
        set(row.cells[2], count(entry.refused));
        set(row.cells[3], span(entry.refused_for_seconds));
      });
  }
}
