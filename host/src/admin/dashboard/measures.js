// What is measured of a service, and how its newest figure is written.

import { count, latency } from './format.js';

/** The charts of a row, and of the details. */
export const MEASURES = [
  { key: 'requests', title: 'Requests', unit: 'a second', lines: ['requests'], area: true, floor: 4 },
  { key: 'latency', title: 'p50 / p99', label: 'Latency', unit: 'dotted / line', lines: ['p99_seconds', 'p50_seconds'], floor: 0.0002 },
  { key: 'errors', title: 'Errors', unit: 'in 2 min', bars: ['errors'], floor: 3 },
  { key: 'sheds', title: 'Sheds', unit: 'in 2 min', bars: ['sheds'], floor: 3 },
  { key: 'replays', title: 'Replays', unit: 'in 2 min', bars: ['replays'], floor: 3 },
  { key: 'exits', title: 'Restarts', unit: 'in 2 min', bars: ['exits'], floor: 3 },
];

/** The newest figure of a measure. */
export function figure(measure, service, series) {
  const { live } = service;
  if (measure.key === 'requests') return live ? count(live.requests_per_second) : '–';
  if (measure.key === 'latency') return live ? `${latency(live.p50_seconds)} / ${latency(live.p99_seconds)}` : '–';
  return count(series.total(measure.key));
}
