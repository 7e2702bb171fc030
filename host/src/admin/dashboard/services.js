// The table of services: one row each, made once and updated in place every second.

import { Chart } from './charts.js';
import { attribute, byId, el, keyed, set } from './dom.js';
import { exact } from './format.js';
import { Quay } from './instances.js';
import { mark, remark } from './marks.js';
import { MEASURES, figure } from './measures.js';
import { noticeNode, notices, updateNotice } from './notices.js';
import { store } from './store.js';

const views = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) target.wharfRow.show(isIntersecting);
}, { rootMargin: '80px' });

class Row {
  #visible = false;

  constructor(service) {
    const { name } = service;
    this.name = name;
    this.series = store.seriesOf(name);
    this.link = el('a', { href: `#${new URLSearchParams({ service: name })}`, text: name, title: name });
    this.quay = new Quay();
    this.figures = new Map();
    this.charts = [];
    const cells = MEASURES.map((measure) => {
      const chart = new Chart({ ...measure, bin: 4, label: `${measure.title} of ${name}, last two minutes` });
      chart.onvisible = () => this.series.fill().then(() => this.update());
      const value = el('span', { class: 'figure' });
      this.figures.set(measure, value);
      this.charts.push(chart);
      return el('td', { role: 'cell', class: `measure ${measure.key}`, 'data-label': measure.label ?? measure.title }, value, chart.node);
    });
    this.state = el('span', { class: 'state' }, this.mark = mark(service.state), this.word = el('span'), this.routes = el('span', { class: 'routes' }));
    this.notices = el('td', { role: 'cell', colspan: MEASURES.length + 2 });
    this.node = el('tbody', { role: 'rowgroup', class: 'service' },
      el('tr', { role: 'row' },
        el('th', { role: 'rowheader', scope: 'row' }, this.link, this.state),
        el('td', { role: 'cell', class: 'instances' }, this.quay.node),
        ...cells),
      this.noticeRow = el('tr', { role: 'row', class: 'notices' }, this.notices));
    this.node.wharfRow = this;
    views.observe(this.node);
  }

  show(visible) {
    this.#visible = visible;
    if (visible) this.update();
  }

  update() {
    const service = store.services.get(this.name);
    if (!service) return;
    remark(this.mark, service.state);
    attribute(this.node, 'data-state', service.state);
    set(this.word, service.state);
    set(this.routes, service.routes.length ? service.routes.join(', ') : 'no route');
    this.quay.update(service, store.now, (id) => store.died(this.name, id));
    this.#notices(service);
    if (!this.#visible) return;
    for (const [measure, value] of this.figures) {
      const text = figure(measure, service, this.series);
      set(value, text);
      value.classList.toggle('none', text === '0' || text === '–' || text === '– / –');
    }
    attribute(this.figures.get(MEASURES[0]), 'title', service.live && `${exact(service.live.requests_per_second)} a second; ${exact(service.counts.requests)} since the start`);
    for (const chart of this.charts) chart.draw(this.series.points, store.at);
  }

  #notices(service) {
    const all = notices(service, store.now).filter((notice) => notice.key !== 'degraded');
    attribute(this.noticeRow, 'hidden', all.length === 0);
    keyed(this.notices, all, (notice) => notice.key, noticeNode, updateNotice);
  }
}

/** Draws the columns' heads, and then the rows whenever the host tells. */
export function bindServices() {
  const table = byId('table');
  const filter = byId('filter');
  byId('columns').append(
    el('th', { role: 'columnheader', scope: 'col', text: 'Service' }),
    el('th', { role: 'columnheader', scope: 'col', text: 'Instances' }),
    ...MEASURES.map((measure) => el('th', { role: 'columnheader', scope: 'col', class: `measure ${measure.key}` }, measure.title, el('small', { text: measure.unit }))));
  table.addEventListener('click', (event) => {
    const row = event.target.closest('tbody');
    if (row && !event.target.closest('a') && getSelection().isCollapsed) row.wharfRow.link.click();
  });
  const body = { firstChild: null };
  const draw = () => {
    const wanted = filter.value.trim().toLowerCase();
    const services = [...store.services.values()];
    keyed(tableBody(table, body), services, (s) => s.name, (s) => new Row(s).node, (node, service) => {
      attribute(node, 'hidden', wanted !== '' && !service.name.toLowerCase().includes(wanted));
      node.wharfRow.update();
    });
    const shown = services.filter((s) => s.name.toLowerCase().includes(wanted)).length;
    const empty = byId('empty');
    attribute(empty, 'hidden', shown > 0);
    set(empty, !store.known ? 'Waiting for the host.' : services.length ? `No service has “${filter.value}” in its name.` : `No services yet. Put a component into the directory ${store.host?.services_directory ?? 'services'}, for instance hello.wasm: it will be live at /hello.`);
    attribute(table, 'hidden', services.length === 0);
  };
  filter.addEventListener('input', draw);
  document.addEventListener('visibilitychange', () => { if (!document.hidden) draw(); });
  store.on('services', draw);
  store.on('link', () => { if (store.link === 'live') for (const node of table.tBodies) if (node.wharfRow.charts[0].visible) node.wharfRow.series.fill(); });
  store.on('host', draw);
  draw();
}

/** The rows are table bodies of the table itself, after its head. */
function tableBody(table, memo) {
  return Object.assign(memo, {
    wharfNodes: table.wharfNodes ??= new Map(),
    firstChild: table.tHead.nextSibling,
    insertBefore: (node, place) => table.insertBefore(node, place),
  });
}

/** Marks which service is open. */
export function markOpen(name) {
  for (const node of byId('table').tBodies) {
    const open = node.wharfRow.name === name;
    node.classList.toggle('open', open);
    attribute(node.wharfRow.link, 'aria-current', open && 'true');
  }
}

export const linkOf = (name) => [...byId('table').tBodies].find((node) => node.wharfRow.name === name)?.wharfRow.link;
