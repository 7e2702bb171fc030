// One large chart with its newest figure; under the pointer, the figure of that second.

import { Chart } from './charts.js';
import { attribute, el, set } from './dom.js';
import { count, latency } from './format.js';
import { figure } from './measures.js';
import { WINDOW } from './series.js';
import { store } from './store.js';

export class Gauge {
  #asked = null;

  constructor(measure, name) {
    this.measure = measure;
    this.chart = new Chart({ ...measure, label: `${measure.title} of ${name}, last two minutes` });
    this.value = el('b');
    this.when = el('small');
    this.top = el('span', { class: 'top' });
    const plot = el('div', { class: 'plot', onpointermove: (event) => this.#ask(event), onpointerleave: () => { this.#asked = null; this.#show(); } }, this.chart.node, this.top, this.hair = el('i', { class: 'hair', hidden: true }));
    this.node = el('figure', { class: `gauge ${measure.key}` }, el('figcaption', {}, el('span', { text: measure.title }), this.value, this.when), plot);
  }

  update(service, series) {
    Object.assign(this, { service, series });
    this.chart.draw(series.points, store.at);
    this.#show();
  }

  #ask(event) {
    const box = this.chart.node.getBoundingClientRect();
    this.#asked = Math.round((event.clientX - box.left) / box.width * WINDOW);
    this.#show();
  }

  #show() {
    if (!this.series) return;
    const asked = this.#asked !== null;
    attribute(this.hair, 'hidden', !asked);
    if (asked) this.hair.style.setProperty('left', `${this.#asked / WINDOW * 100}%`);
    const point = asked && this.series.at(Math.floor(store.at) - WINDOW + this.#asked);
    const { key, unit } = this.measure;
    const text = !asked ? figure(this.measure, this.service, this.series)
      : !point ? '–' : key === 'latency' ? `${latency(point.p50_seconds)} / ${latency(point.p99_seconds)}` : count(point[key]);
    set(this.value, text);
    set(this.when, asked ? `${WINDOW - this.#asked} s ago` : unit);
    const { most } = this.chart;
    set(this.top, most === 0 ? '' : key === 'latency' ? latency(most) : count(most));
  }
}
