// What a service writes: the last lines, then each as it comes. It follows while one is at the end.

import { pathOf } from './api.js';
import { attribute, el } from './dom.js';
import { clock } from './format.js';
import { Section } from './section.js';
import { Stream } from './sse.js';

const ASKED = 100;
const KEPT = 500;
const NEAR_END_PX = 24;

export class Logs extends Section {
  #waiting = [];
  #frame = 0;

  constructor(name) {
    super('Logs', 'logs');
    this.list = el('ol', { class: 'lines', tabindex: 0, 'aria-label': `Log of ${name}`, onscroll: () => this.#follow(this.#atEnd()) });
    this.button = el('button', { type: 'button', class: 'small', hidden: true, text: 'Follow', onclick: () => this.#follow(true) });
    this.node.firstChild.append(this.button);
    this.content.append(this.list);
    this.empty('No lines yet.');
    this.stream = new Stream(`${pathOf(name)}/logs/stream?lines=${ASKED}`, {
      silence: 45000,
      onevent: (type, line) => { if (type === 'line') this.#take(line); },
      onstate: (state) => { if (state === 'live') { this.#waiting = []; this.list.replaceChildren(); } },
    });
  }

  stop() {
    this.stream.stop();
    cancelAnimationFrame(this.#frame);
  }

  #take(line) {
    this.#waiting.push(line);
    if (this.#waiting.length > KEPT) this.#waiting.shift();
    this.#frame ||= requestAnimationFrame(() => this.#flush());
  }

  #flush() {
    this.#frame = 0;
    const following = !this.list.childElementCount || this.button.hidden;
    this.empty('');
    this.list.append(...this.#waiting.splice(0).map(lineNode));
    while (this.list.childElementCount > KEPT) this.list.firstChild.remove();
    if (following) this.#follow(true);
  }

  #atEnd() { return this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < NEAR_END_PX; }

  #follow(following) {
    attribute(this.button, 'hidden', following);
    if (following && !this.#atEnd()) this.list.scrollTop = this.list.scrollHeight;
  }
}

function lineNode(line) {
  const kind = line.level ?? (line.stream === 'stdout' ? '' : line.stream);
  return el('li', { class: line.stream === 'stderr' || /^(warn|error)/i.test(kind) ? 'grave' : '', title: `instance ${line.instance}, release ${line.release}${line.request ? `, request ${line.request}` : ''}, ${line.stream}` },
    el('time', { text: clock(line.at) }), el('span', { class: 'from', text: line.instance }), el('span', { class: 'text' }, kind ? el('b', { text: kind }) : null, line.text));
}
