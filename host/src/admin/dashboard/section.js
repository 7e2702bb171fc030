// A part of the details: a heading with a number beside it, a content, and what is said when there is none.

import { attribute, el, set } from './dom.js';

export class Section {
  constructor(title, id) {
    this.number = el('span', { class: 'aside' });
    this.content = el('div', { class: 'content' });
    this.nothing = el('p', { class: 'empty', hidden: true });
    this.node = el('section', { class: `part ${id}`, 'aria-labelledby': `${id}-title` },
      el('h3', {}, el('span', { id: `${id}-title`, text: title }), this.number), this.content, this.nothing);
  }

  count(n) { set(this.number, n || ''); }

  /** Shows `text` in place of the content, or the content if there is none. */
  empty(text) {
    set(this.nothing, text);
    attribute(this.nothing, 'hidden', text === '');
    attribute(this.content, 'hidden', text !== '');
  }

  /** Fetches anew, soon: several causes at once make one request. */
  refresh(delay = 250) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.fetch().catch((problem) => { if (problem.status) this.empty(`This could not be read: ${problem.message}`); }); // else the host is away, and what was read stays
    }, delay);
  }

  stop() { clearTimeout(this.timer); }
}

/** A table with a caption for those who can't see the heading above it. */
export function table(caption, columns, classes = []) {
  const body = el('tbody');
  const head = columns.map((text, i) => el('th', { scope: 'col', class: classes[i] ?? '' }, text || el('span', { class: 'unseen', text: 'Actions' })));
  const node = el('div', { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': caption },
    el('table', {}, el('caption', { class: 'unseen', text: caption }), el('thead', {}, el('tr', {}, ...head)), body));
  return { node, body };
}
