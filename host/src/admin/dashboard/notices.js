// What is to say of a service, as lines: in its row, in its details, and the gravest in the overview.

import { evidenceBar } from './canary.js';
import { el, set } from './dom.js';
import { short, span } from './format.js';
import { mark } from './marks.js';

/** What is to say of a service, the gravest first: `{ key, tone, mark, word, text }`. */
export function notices(service, now) {
  const { taken_back: back, held, canary, quarantine, last_deploy_error: failed, state } = service;
  const all = [
    back && { key: 'back', tone: 'loud', mark: 'back', word: `Release ${back.revision} was taken back by the host`,
      text: `${span(now - back.at)} ago: ${back.reason}. ${service.release ? `Release ${service.release.revision} runs.` : 'Nothing runs.'}` },
    state === 'broken' && { key: 'broken', tone: 'bad', mark: 'broken', word: 'Broken', text: 'Its instances end faster than they are useful. It rests, and is tried again by itself.' },
    failed && { key: 'failed', tone: 'bad', mark: 'refused', word: state === 'refused' ? 'Refused' : 'Last deploy failed', text: failed.message.split('\n')[0] },
    held && { key: 'held', tone: 'warn', mark: 'held', word: 'A release waits for you', text: held.why === 'capabilities' ? `It asks for ${held.added.join(', ')}.` : 'Deploys of this service are held by the operator.' },
    quarantine.length > 0 && { key: 'quarantine', tone: 'warn', mark: 'quarantine', word: 'Quarantine', text: `${quarantine[0].line}${quarantine.length > 1 ? ` and ${quarantine.length - 1} more` : ''}, for ${span(quarantine[0].refused_for_seconds)}.` },
    state === 'degraded' && { key: 'degraded', tone: 'warn', mark: 'degraded', word: 'Degraded', text: 'Instances are being replaced.' },
    canary && { key: 'canary', tone: 'info', mark: 'canary', word: `Canary ${short(canary.digest)}`, text: `release ${canary.revision}, ${Math.round(canary.share * 100)} % of the requests, ${span(canary.ends_at - now)} left.`,
      evidence: Math.max(canary.failure_evidence ?? 0, canary.latency_evidence ?? 0) },
    service.frozen && !held && { key: 'frozen', tone: 'info', mark: 'held', word: 'Deploys are held', text: 'New files wait until you resume.' },
  ];
  return all.filter(Boolean);
}

/** A line that says what is up with a service. */
export function noticeNode(notice) {
  const node = el('p', { class: `notice ${notice.tone}` }, mark(notice.mark), el('strong'), el('span'));
  if (notice.evidence !== undefined) node.append(evidenceBar('Evidence'));
  return node;
}

export function updateNotice(node, notice) {
  set(node.children[1], notice.word);
  set(node.children[2], notice.text);
  if (notice.evidence !== undefined) node.lastChild.wharfSet(notice.evidence);
}
