// Instances as small blocks on a quay: an idle one is an outline, a busy one is filled as far as it is loaded.

import { attribute, el, keyed } from './dom.js';
import { bytes, count, span } from './format.js';

const SHOWN = 60;
const MANY = 14;
const MOURNING_SECONDS = 6;

/** The kinds, in the order in which they are told. */
export const KINDS = ['busy', 'idle', 'starting', 'draining', 'dead'];

/** Which kind an instance is drawn as. */
export function kindOf(instance) {
  if (instance.state === 'starting' || instance.state === 'draining' || instance.state === 'dead') return instance.state;
  return instance.state === 'busy' || instance.in_flight > 0 ? 'busy' : 'idle';
}

/** The blocks of one service. One that ended before its time stays for a moment, as dead. */
export class Quay {
  #before = new Map();
  #gone = new Map();

  constructor() { this.node = el('div', { class: 'quay', role: 'img', onpointerover: ({ target }) => explain(target) }); }

  /** `died(id)` says whether an instance that is gone was ended, and not just retired. */
  update(service, now, died) {
    const canary = (service.canary?.instances ?? []).map((instance) => ({ ...instance, canary: true }));
    const present = [...service.instances.filter((i) => !canary.some((c) => c.id === i.id)), ...canary];
    const ids = new Map(present.map((instance) => [instance.id, instance]));
    for (const [id, instance] of this.#before) if (!ids.has(id)) this.#gone.set(id, { ...instance, state: 'dead', in_flight: 0, until: now + MOURNING_SECONDS });
    for (const [id, instance] of this.#gone) if (ids.has(id) || instance.until < now) this.#gone.delete(id);
    this.#before = ids;
    const all = [...present, ...[...this.#gone.values()].filter(({ id }) => died(id))].sort((a, b) => Number(a.canary ?? 0) - Number(b.canary ?? 0) || Number(a.id) - Number(b.id));
    keyed(this.node, all.slice(0, SHOWN), (i) => i.id, () => el('i'), (block, instance) => draw(block, instance, service.concurrency));
    attribute(this.node, 'class', `quay${all.length > MANY ? ' many' : ''}${all.length ? '' : ' bare'}`);
    attribute(this.node, 'data-more', all.length > SHOWN ? `+${count(all.length - SHOWN)}` : null);
    attribute(this.node, 'aria-label', tell(all));
  }
}

function draw(block, instance, concurrency) {
  const kind = kindOf(instance);
  attribute(block, 'class', `${kind}${instance.canary ? ' canary' : ''}`);
  const load = kind === 'busy' ? Math.max(0.25, Math.min(1, instance.in_flight / concurrency)) : 0;
  const fill = `${Math.round(load * 100)}%`;
  if (block.style.getPropertyValue('--fill') !== fill) block.style.setProperty('--fill', fill);
  block.wharfInstance = instance;
}

/** Fifty services have hundreds of blocks: what one is gets written when it is pointed at. */
function explain(block) {
  const instance = block.wharfInstance;
  if (instance) attribute(block, 'title', `Instance ${instance.id}${instance.canary ? ' of the canary' : ''}: ${kindOf(instance)}, ${instance.in_flight} in flight, ${count(instance.served)} served, ${bytes(instance.memory_bytes)}, ${span(instance.age_seconds)} old`);
}

/** "4 instances: 2 busy, 2 idle". */
export function tell(instances) {
  const parts = KINDS.map((kind) => [instances.filter((i) => kindOf(i) === kind).length, kind]).filter(([n]) => n);
  return `${instances.length} instance${instances.length === 1 ? '' : 's'}${parts.length ? `: ${parts.map(([n, kind]) => `${n} ${kind}`).join(', ')}` : ''}`;
}

/** What the blocks mean. */
export function legend(list) {
  list.append(...KINDS.map((kind) => el('li', {}, el('span', { class: 'quay', 'aria-hidden': 'true' }, sample(kind)), kind)));
}

function sample(kind) {
  const block = el('i', { class: kind });
  block.style.setProperty('--fill', kind === 'busy' ? '100%' : '0%');
  return block;
}
