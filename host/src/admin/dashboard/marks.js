// The shapes of states and levels: each differs by form, and stands beside its word, so that colour adds nothing.

import { attribute, svg } from './dom.js';

const SHAPES = {
  ready: 'M6 1.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9z',
  starting: 'M6 .8a5.2 5.2 0 1 0 0 10.4V9.2A3.2 3.2 0 1 1 6 2.8z',
  degraded: 'M6 .8L11.6 11H.4z',
  broken: 'M1 1h10v10H1zM3.2 4.3L4.9 6 3.2 7.7l1.1 1.1L6 7.1l1.7 1.7 1.1-1.1L7.1 6l1.7-1.7-1.1-1.1L6 4.9 4.3 3.2z',
  draining: 'M6 .8a5.2 5.2 0 1 0 0 10.4A5.2 5.2 0 1 0 6 .8zM2.4 6a3.6 3.6 0 0 1 7.2 0z',
  refused: 'M6 .5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11zM2.6 5h6.8v2H2.6z',
  back: 'M5.2 1L.6 5l4.6 4V6.4h2.2a2 2 0 0 1 0 4H4V12h3.6a3.7 3.7 0 0 0 0-7.4H5.2z',
  held: 'M1.5 1h3.2v10H1.5zM7.3 1h3.2v10H7.3z',
  quarantine: 'M6 .3L11.7 6 6 11.7.3 6zM5.2 3v3.6h1.6V3zM5.2 7.6v1.5h1.6V7.6z',
  canary: 'M1 1h4.4v10H1zM6.6 6H11v5H6.6z',
  info: 'M6 4a2 2 0 1 0 0 4a2 2 0 1 0 0-4z',
};
const LEVELS = { info: 'info', warning: 'degraded', error: 'broken' };

/** A mark by its name, or by the level of an event. */
export function mark(name) {
  return svg('svg', { class: 'mark', viewBox: '0 0 12 12', 'aria-hidden': 'true' }, svg('path', { 'fill-rule': 'evenodd', d: shape(name) }));
}

export function remark(node, name) { attribute(node.firstChild, 'd', shape(name)); }

const shape = (name) => SHAPES[LEVELS[name] ?? name] ?? SHAPES.info;
