// The last two minutes of one service, a point a second: filled from its history, then from the live stream.

import { get, pathOf } from './api.js';

/** How far back the charts go, in seconds. */
export const WINDOW = 120;

const PARALLEL = 4;
let running = 0;
const waiting = [];

export class Series {
  points = [];
  #filled = null;

  constructor(name) { this.name = name; }

  /** Takes the second that the live stream tells of. */
  add(live) {
    if (!live) return;
    this.#merge([{ at: live.at, requests: live.requests_per_second, errors: live.errors_per_second, sheds: live.sheds_per_second,
      replays: live.replays_per_second, exits: live.exits_per_second, p50_seconds: live.p50_seconds, p99_seconds: live.p99_seconds }]);
  }

  /** Fetches what was before, once until `stale` is called. */
  fill() {
    this.#filled ??= queued(async () => {
      const { points } = await get(`${pathOf(this.name)}/history`);
      this.#merge(points);
    }).catch(() => { this.#filled = null; });
    return this.#filled;
  }

  /** After an outage the history may know more. */
  stale() { this.#filled = null; }

  /** What came in the window, of one kind. */
  total(kind) { return this.points.reduce((sum, point) => sum + point[kind], 0); }

  /** The point of a second, or undefined. */
  at(second) { return this.points.find((point) => Math.floor(point.at) === second); }

  #merge(points) {
    const last = this.points.at(-1);
    if (points.length === 1 && (!last || Math.floor(points[0].at) > Math.floor(last.at))) this.points.push(points[0]);
    else {
      const bySecond = new Map([...points, ...this.points].map((point) => [Math.floor(point.at), point]));
      this.points = [...bySecond.values()].sort((a, b) => a.at - b.at);
    }
    const oldest = this.points.at(-1)?.at - WINDOW;
    while (this.points.length && this.points[0].at <= oldest) this.points.shift();
  }
}

/** Runs few at a time: fifty services must not mean fifty requests at once. */
async function queued(task) {
  if (running >= PARALLEL) await new Promise((go) => { waiting.push(go); });
  running += 1;
  try {
    return await task();
  } finally {
    running -= 1;
    waiting.shift()?.();
  }
}
