// The releases of a service, and the way back to one.

import { get, pathOf } from './api.js';
import { rollback } from './actions.js';
import { attribute, el, keyed, set } from './dom.js';
import { bytes, clock, short } from './format.js';
import { Section, table } from './section.js';

const WORDS = { live: 'runs', canary: 'canary', kept: 'kept', taken_back: 'taken back', held: 'held' };

export class Releases extends Section {
  constructor(name) {
    super('Releases', 'releases');
    this.name = name;
    const { node, body } = table('Releases', ['Release', 'Digest', 'State', 'Accepted', 'Size', ''], ['num', '', '', '', 'num', '']);
    this.body = body;
    this.content.append(node);
    this.quick = el('button', { type: 'button', text: 'Roll back', onclick: () => rollback(name, this.before) });
  }

  async fetch() {
    const { releases } = await get(`${pathOf(this.name)}/releases`);
    const live = releases.find((release) => release.state === 'live');
    this.before = releases.find((release) => release.state === 'kept' && (!live || release.revision < live.revision));
    this.quick.disabled = !this.before;
    attribute(this.quick, 'title', this.before ? `to release ${this.before.revision}` : 'no earlier release is kept');
    this.count(releases.length);
    keyed(this.body, releases, (release) => release.revision, (release) => this.#row(release), (row, release) => {
      const [, , state, , , act] = row.cells;
      attribute(row, 'class', release.state);
      set(state.firstChild, WORDS[release.state] ?? release.state);
      set(state.lastChild, release.note ?? '');
      attribute(act.firstChild, 'hidden', release.state !== 'kept');
    });
    this.empty(releases.length ? '' : 'No release was ever taken.');
  }

  #row(release) {
    return el('tr', {},
      el('th', { scope: 'row', class: 'num', text: release.revision }),
      el('td', {}, el('code', { text: short(release.digest), title: release.digest })),
      el('td', {}, el('span', { class: 'tag' }), el('small')),
      el('td', { text: clock(release.accepted_at) }),
      el('td', { class: 'num', text: bytes(release.size_bytes) }),
      el('td', { class: 'acts' }, el('button', { type: 'button', class: 'small', text: 'Go to it', 'aria-label': `Roll back to release ${release.revision}`, onclick: () => rollback(this.name, release) })));
  }
}
