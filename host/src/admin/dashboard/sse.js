// Server-sent events over fetch, since EventSource can't send the token. It comes back by itself.

import { open } from './api.js';

const FIRST_WAIT = 500;
const LONGEST_WAIT = 8000;

/**
 * A stream that is kept open until `stop`. `onevent(type, data)` gets parsed JSON, `onstate` gets
 * 'live' or 'lost'. After `silence` milliseconds without a byte it counts as lost.
 */
export class Stream {
  #stopped = false;
  #lastId = null;
  #attempt = null;
  #wake = () => {};

  constructor(path, { onevent, onstate = () => {}, silence }) {
    Object.assign(this, { path, onevent, onstate, silence });
    this.retry = () => this.#wake();
    addEventListener('online', this.retry);
    this.#run();
  }

  stop() {
    this.#stopped = true;
    this.#attempt?.abort();
    this.#wake();
    removeEventListener('online', this.retry);
  }

  async #run() {
    let wait = FIRST_WAIT;
    while (!this.#stopped) {
      try {
        await this.#once(() => { wait = FIRST_WAIT; });
      } catch (problem) {
        if (problem.status === 401) return;
      }
      if (this.#stopped) return;
      this.onstate('lost');
      await new Promise((wake) => {
        this.#wake = wake;
        setTimeout(wake, wait * (0.75 + Math.random() / 2));
      });
      wait = Math.min(wait * 2, LONGEST_WAIT);
    }
  }

  async #once(onopen) {
    const attempt = this.#attempt = new AbortController();
    let watchdog = setTimeout(() => attempt.abort(), this.silence);
    try {
      const headers = { accept: 'text/event-stream', ...(this.#lastId && { 'last-event-id': this.#lastId }) };
      const response = await open(this.path, { signal: attempt.signal, headers });
      onopen();
      this.onstate('live');
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const parse = parser((type, data, id) => {
        if (id) this.#lastId = id;
        if (!this.#stopped) this.onevent(type, JSON.parse(data));
      });
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        clearTimeout(watchdog);
        watchdog = setTimeout(() => attempt.abort(), this.silence);
        parse(part.value);
      }
    } finally {
      clearTimeout(watchdog);
    }
  }
}

/** Takes text in any pieces, and gives each event once it is whole. */
export function parser(onevent) {
  let rest = '';
  let event = { type: 'message', data: [], id: null };
  return (text) => {
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === '') {
        if (event.data.length) onevent(event.type, event.data.join('\n'), event.id);
        event = { type: 'message', data: [], id: null };
        continue;
      }
      const colon = line.indexOf(':');
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (field === 'data') event.data.push(value);
      else if (field === 'event') event.type = value;
      else if (field === 'id') event.id = value;
    }
  };
}
