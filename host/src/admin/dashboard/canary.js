// A canary beside the release that runs, and the evidence against it.

import { attribute, el, set } from './dom.js';
import { count, percent, short, span } from './format.js';

/** At this e-value the host takes a canary back. */
const ENOUGH = 100;

/** Evidence multiplies, so the bar is logarithmic: half of it is 10, all of it 100. */
const part = (evidence) => Math.max(0, Math.min(1, Math.log10(Math.max(evidence, 1)) / Math.log10(ENOUGH)));

/** A bar up to 100; set by `wharfSet(evidence)`. */
export function evidenceBar(label) {
  const value = el('b');
  const bar = el('span', { class: 'meter', role: 'meter', 'aria-valuemin': 0, 'aria-valuemax': ENOUGH, 'aria-label': `${label}; at ${ENOUGH} the canary is taken back` }, el('i'));
  const node = el('span', { class: 'evidence' }, el('span', { text: label }), bar, value);
  node.wharfSet = (evidence) => {
    const known = evidence ?? 0;
    set(value, known >= 10 ? count(Math.round(known)) : known.toFixed(1));
    bar.firstChild.style.setProperty('width', percent(part(known)).replace(' ', ''));
    attribute(bar, 'aria-valuenow', Math.min(ENOUGH, known).toFixed(1));
    attribute(node, 'class', `evidence${known >= ENOUGH / 10 ? ' strong' : ''}`);
  };
  return node;
}

/** The panel in the details of a service. */
export class CanaryPanel {
  constructor() {
    this.fields = {};
    const side = (which, title) => {
      const row = (key, term) => el('div', {}, el('dt', { text: term }), this.fields[which + key] = el('dd'));
      return el('div', { class: `side ${which}` }, el('h4', { text: title }), el('dl', {}, row('release', 'Release'), row('share', 'Share'), row('requests', 'Requests'), row('failures', 'Failures'), row('rate', 'Failure rate')));
    };
    this.failure = evidenceBar('Failures');
    this.latency = evidenceBar('Latency');
    this.left = el('span', { class: 'aside' });
    this.node = el('section', { class: 'canary-panel', 'aria-labelledby': 'canary-title' },
      el('h3', {}, el('span', { id: 'canary-title', text: 'Canary' }), this.left),
      el('div', { class: 'sides' }, side('running', 'Running'), side('canary', 'Canary')),
      el('div', { class: 'evidences' }, el('h4', { text: 'Evidence that it is worse' }), this.failure, this.latency, el('p', { class: 'note', text: 'At 100 it is taken back. The bar is logarithmic.' })));
  }

  update(service, now) {
    const { canary, release } = service;
    attribute(this.node, 'hidden', !canary);
    if (!canary) return;
    set(this.left, `${span(canary.ends_at - now)} left`);
    this.#side('running', release, 1 - canary.share, canary.running_requests, canary.running_failures);
    this.#side('canary', canary, canary.share, canary.requests, canary.failures);
    this.failure.wharfSet(canary.failure_evidence);
    this.latency.wharfSet(canary.latency_evidence);
  }

  #side(which, release, share, requests, failures) {
    const { fields } = this;
    set(fields[`${which}release`], release ? `${release.revision} · ${short(release.digest)}` : '–');
    set(fields[`${which}share`], percent(share));
    set(fields[`${which}requests`], count(requests));
    set(fields[`${which}failures`], count(failures));
    set(fields[`${which}rate`], requests ? `${(failures / requests * 100).toFixed(2)} %` : '–');
  }
}
