// What the page knows of the host. The live stream feeds it; the views listen and draw.

import { Series } from './series.js';

const EVENTS_KEPT = 500;
const LATELY_SECONDS = 15;

class Store extends EventTarget {
  services = new Map();
  series = new Map();
  events = [];
  host = null;
  /** 'connecting', 'live' or 'lost'. */
  link = 'connecting';
  /** The host's time at the last tick, and how far this clock is from it. */
  at = Date.now() / 1000;
  #skew = 0;
  #seen = new Set();
  #known = false;

  /** The host's time now, in seconds. */
  get now() { return Date.now() / 1000 + this.#skew; }

  /** Whether the list of services has come at all. */
  get known() { return this.#known; }

  takeServices({ at, services }) {
    this.at = at;
    this.#skew = at - Date.now() / 1000;
    this.#known = true;
    this.services = new Map(services.map((service) => [service.name, service]));
    for (const name of this.series.keys()) if (!this.services.has(name)) this.series.delete(name);
    for (const service of services) this.seriesOf(service.name).add(service.live);
    this.#tell('services');
  }

  /** Takes events in any order and however often; tells only of those that are new. */
  takeEvents(events) {
    const fresh = events.filter((event) => !this.#seen.has(event.id));
    if (!fresh.length) return;
    for (const event of fresh) this.#seen.add(event.id);
    this.events = [...this.events, ...fresh].sort((a, b) => a.at - b.at).slice(-EVENTS_KEPT);
    if (this.#seen.size > 20 * EVENTS_KEPT) this.#seen = new Set(this.events.map((event) => event.id));
    this.#tell('events', fresh);
  }

  /** Whether an instance was ended lately, for another reason than that its time was over. */
  died(service, instance) {
    return this.events.some((event) => event.kind === 'instance_ended' && event.service === service && event.instance === instance
      && event.reason !== 'retired' && this.now - event.at < LATELY_SECONDS);
  }

  seriesOf(name) {
    let series = this.series.get(name);
    if (!series) this.series.set(name, series = new Series(name));
    return series;
  }

  setLink(link) {
    if (link === this.link) return;
    this.link = link;
    if (link === 'live') for (const series of this.series.values()) series.stale();
    this.#tell('link');
  }

  setHost(host) {
    this.host = host;
    this.#tell('host');
  }

  on(type, listener) { this.addEventListener(type, (event) => listener(event.detail)); }

  #tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }
}

export const store = new Store();
