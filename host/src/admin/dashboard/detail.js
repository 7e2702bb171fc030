// The details of the service that is open.

import { hold, resume } from './actions.js';
import { CanaryPanel } from './canary.js';
import { attribute, byId, el, keyed, set } from './dom.js';
import { Exits } from './exits.js';
import { clock, count, short, span } from './format.js';
import { Gauge } from './gauge.js';
import { Instances } from './instance-table.js';
import { Logs } from './logs.js';
import { mark, remark } from './marks.js';
import { MEASURES } from './measures.js';
import { noticeNode, notices, updateNotice } from './notices.js';
import { Quarantine } from './quarantine.js';
import { Releases } from './releases.js';
import { store } from './store.js';

const ABOUT_RELEASES = ['deploy', 'canary_started', 'canary_passed', 'rolled_back', 'held', 'resumed', 'operator', 'removed'];

export class Detail {
  constructor(name, close) {
    this.name = name;
    this.releases = new Releases(name);
    this.exits = new Exits(name);
    this.logs = new Logs(name);
    this.canary = new CanaryPanel();
    this.instances = new Instances(name);
    this.gauges = MEASURES.map((measure) => new Gauge(measure, name));
    this.#build(close);
    this.series.fill().then(() => this.update());
    this.refresh();
  }

  #build(close) {
    this.title = el('h2', { id: 'detail-title', tabindex: -1, text: this.name });
    this.state = el('p', { class: 'state' }, this.mark = mark('info'), this.word = el('span'));
    this.facts = el('p', { class: 'facts' });
    this.holdButton = el('button', { type: 'button', text: 'Hold deploys', onclick: () => hold(this.name) });
    this.resumeButton = el('button', { type: 'button', onclick: () => resume(this.name, store.services.get(this.name)?.held) });
    this.notices = el('div', { class: 'banners' });
    this.gone = el('p', { class: 'empty', hidden: true, text: `No service is named ${this.name} now. If its file comes back, it is shown here again.` });
    this.held = el('section', { class: 'part held', hidden: true, 'aria-labelledby': 'held-title' },
      el('h3', { id: 'held-title', text: 'Held release' }), this.heldText = el('p'), this.heldList = el('ul', { class: 'capabilities' }));
    this.failed = el('section', { class: 'part failed', hidden: true, 'aria-labelledby': 'failed-title' },
      el('h3', {}, el('span', { id: 'failed-title', text: 'Last deploy error' }), this.failedAt = el('span', { class: 'aside' })), this.failedText = el('pre', { tabindex: 0, 'aria-labelledby': 'failed-title' }));
    this.quarantine = new Quarantine();
    this.node = el('div', { class: 'details' },
      el('header', {},
        el('div', { class: 'title' }, this.title, el('button', { type: 'button', class: 'quiet close', text: 'Close', onclick: close })),
        this.state, this.facts,
        el('div', { class: 'buttons' }, this.releases.quick, this.holdButton, this.resumeButton)),
      this.gone, this.notices, this.canary.node, this.held, this.failed,
      el('section', { class: 'gauges', 'aria-label': 'Last two minutes' }, ...this.gauges.map((gauge) => gauge.node)),
      this.quarantine.node, this.instances.node, this.releases.node, this.exits.node, this.logs.node);
  }

  /** Asked for each time: a service that comes back has a new one. */
  get series() { return store.seriesOf(this.name); }

  /** Reads anew what the live stream does not carry. */
  refresh() {
    this.releases.refresh(0);
    this.exits.refresh(0);
  }

  takeEvents(events) {
    const own = events.filter((event) => event.service === this.name);
    if (own.some((event) => ABOUT_RELEASES.includes(event.kind))) this.releases.refresh();
    if (own.some((event) => event.kind === 'instance_ended')) this.exits.refresh();
  }

  update() {
    const service = store.services.get(this.name);
    attribute(this.gone, 'hidden', Boolean(service) || !store.known);
    attribute(this.node, 'class', `details${service ? '' : ' gone'}`);
    if (!service) return;
    const { release, held, last_deploy_error: failed } = service;
    attribute(this.node, 'data-state', service.state);
    remark(this.mark, service.state);
    set(this.word, service.state);
    const facts = [['routes', service.routes.join(', ') || 'none'], ['release', release ? String(release.revision) : 'none'], ...(release ? [['digest', short(release.digest)], ['live for', span(store.now - release.deployed_at)]] : []),
      ['requests', count(service.counts.requests)], ['queued', count(service.queued)]];
    keyed(this.facts, facts, ([term]) => term, ([term]) => el('span', {}, `${term} `, el('b')), (node, [, value]) => set(node.lastChild, value));
    attribute(this.holdButton, 'hidden', service.frozen);
    attribute(this.resumeButton, 'hidden', !service.frozen && !held);
    set(this.resumeButton, held ? 'Resume with held release' : 'Resume deploys');
    attribute(this.resumeButton, 'class', held ? 'primary' : null);
    const told = notices(service, store.now).filter(({ key }) => key !== 'canary' && key !== 'quarantine' && key !== 'failed');
    keyed(this.notices, told, ({ key }) => key, noticeNode, updateNotice);
    this.canary.update(service, store.now);
    attribute(this.held, 'hidden', !held);
    if (held) {
      set(this.heldText, `${short(held.digest)}, held ${span(store.now - held.at)} ago. ${held.message}`);
      keyed(this.heldList, held.added, (name) => name, (name) => el('li', { text: name }));
    }
    attribute(this.failed, 'hidden', !failed);
    if (failed) { set(this.failedAt, clock(failed.at)); set(this.failedText, failed.message); }
    for (const gauge of this.gauges) gauge.update(service, this.series);
    this.quarantine.update(service);
    this.instances.update(service);
  }

  stop() {
    for (const part of [this.releases, this.exits, this.logs]) part.stop();
  }
}

/** Shows the details of `name` in place of what was shown, or nothing. */
export function showDetail(current, name, close) {
  if (current?.name === name) return current;
  current?.stop();
  const place = byId('detail');
  attribute(place, 'hidden', name === null);
  byId('panes').classList.toggle('split', name !== null);
  if (name === null) { place.replaceChildren(); return null; }
  const detail = new Detail(name, close);
  place.replaceChildren(detail.node);
  place.scrollTop = 0;
  detail.update();
  return detail;
}
