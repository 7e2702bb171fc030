// Small live charts of the last two minutes, as SVG paths that are redrawn only while they are visible.

import { svg } from './dom.js';
import { WINDOW } from './series.js';

const HEIGHT = 40;
const charts = new WeakMap();
const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) charts.get(entry.target)?.show(entry.isIntersecting);
}, { rootMargin: '80px' });

/**
 * A chart of some kinds of a series: `lines` (the first is filled if `area`) or `bars`.
 * `floor` is the least that the scale shows, so that noise near zero stays small; bars are of
 * `bin` seconds each.
 */
export class Chart {
  visible = false;
  /** The highest value in the window. */
  most = 0;
  #last = null;
  #paths = [];

  constructor({ lines = [], bars = [], area = false, floor = 1, bin = 1, label }) {
    Object.assign(this, { lines, bars, area, floor, bin });
    this.node = svg('svg', { class: `chart${bars.length ? ' bars' : ''}`, viewBox: `0 0 ${WINDOW} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label });
    this.node.append(svg('path', { class: 'base', d: `M0 ${HEIGHT - 0.5}H${WINDOW}` }));
    if (area) this.node.append(this.fill = svg('path', { class: 'fill' }));
    for (const kind of [...lines, ...bars]) {
      const path = svg('path', { class: `line ${kind}` });
      this.#paths.push(path);
      this.node.append(path);
    }
    charts.set(this.node, this);
    observer.observe(this.node);
  }

  show(visible) {
    this.visible = visible;
    if (visible && this.#last) this.draw(...this.#last);
    if (visible) this.onvisible?.();
  }

  /** Draws the window that ends at `now`. */
  draw(seconds, now) {
    this.#last = [seconds, now];
    if (!this.visible || document.hidden) return;
    const kinds = this.bars.length ? this.bars : this.lines;
    const points = this.bars.length ? binned(seconds, kinds, this.bin) : seconds;
    this.most = Math.max(0, ...points.flatMap((point) => kinds.map((kind) => point[kind] ?? 0)));
    const top = Math.max(this.floor, this.most) * 1.08;
    const end = Math.floor(now);
    const x = (point) => WINDOW - (end - Math.floor(point.at));
    const y = (value) => (HEIGHT - 1.5 - (value / top) * (HEIGHT - 3)).toFixed(2);
    kinds.forEach((kind, i) => {
      const d = this.bars.length ? bars(points, kind, x, y) : line(points, kind, x, y);
      this.#paths[i].setAttribute('d', d);
    });
    if (this.fill) this.fill.setAttribute('d', area(points, this.lines[0], x, y));
  }
}

/** A line that has a gap where a second is missing or empty. */
function line(points, kind, x, y) {
  let d = '';
  let before = null;
  for (const point of points) {
    if (point[kind] === null) { before = null; continue; }
    const joined = before !== null && x(point) - before <= 2;
    d += joined ? `L${x(point)} ${y(point[kind])}` : `M${x(point)} ${y(point[kind])}h.01`;
    before = x(point);
  }
  return d;
}

function area(points, kind, x, y) {
  let d = '';
  let before = null;
  for (const point of points) {
    if (before === null || x(point) - before > 2) d += `${before === null ? '' : `L${before} ${HEIGHT}Z`}M${x(point)} ${HEIGHT}`;
    d += `L${x(point)} ${y(point[kind])}`;
    before = x(point);
  }
  return before === null ? '' : `${d}L${before} ${HEIGHT}Z`;
}

function binned(points, kinds, size) {
  const bins = new Map();
  for (const point of points) {
    const at = Math.floor(point.at / size) * size;
    if (!bins.has(at)) bins.set(at, { at, ...Object.fromEntries(kinds.map((kind) => [kind, 0])) });
    for (const kind of kinds) bins.get(at)[kind] += point[kind];
  }
  return [...bins.values()];
}

const bars = (points, kind, x, y) => points.filter((point) => point[kind] > 0).map((point) => `M${x(point)} ${HEIGHT}V${y(point[kind])}`).join('');
