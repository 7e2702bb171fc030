// What the operator can do. Each asks first, in a dialog that stays open if the host says no.

import { pathOf, send } from './api.js';
import { attribute, byId, el, keyed, set } from './dom.js';
import { clock, short } from './format.js';

const TOAST_MS = 6000;

/** Asks; runs `run` on yes. `list` is shown below the text. */
function confirm({ title, text, list = [], yes, danger = false, run, done }) {
  const dialog = byId('confirm');
  const accept = byId('confirm-yes');
  const cancel = byId('confirm-no');
  set(byId('confirm-title'), title);
  set(byId('confirm-text'), text);
  set(byId('confirm-error'), '');
  set(accept, yes);
  accept.classList.toggle('danger', danger);
  attribute(byId('confirm-list'), 'hidden', !list.length);
  keyed(byId('confirm-list'), list, (item) => item, (item) => el('li', { text: item }));
  accept.disabled = false;
  cancel.onclick = () => dialog.close();
  accept.onclick = async () => {
    accept.disabled = true;
    set(byId('confirm-error'), '');
    try {
      const answer = await run();
      dialog.close();
      toast(done(answer));
    } catch (problem) {
      set(byId('confirm-error'), problem.status ? `The host refused: ${problem.message}` : 'The host does not answer. Nothing is known of what became of it.');
      accept.disabled = false;
    }
  };
  dialog.showModal();
  cancel.focus();
}

let toastTimer;
function toast(text) {
  const node = byId('toast');
  set(node, text);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => set(node, ''), TOAST_MS);
}

export const kill = (name, id) => confirm({
  title: `Kill instance ${id} of ${name}?`, yes: 'Kill it', danger: true,
  text: 'It ends at once and is replaced. Requests in it are run again where that is provably safe; the others fail.',
  run: () => send('DELETE', `${pathOf(name)}/instances/${encodeURIComponent(id)}`),
  done: () => `Instance ${id} of ${name} was killed.`,
});

export const drain = (name, id) => confirm({
  title: `Drain instance ${id} of ${name}?`, yes: 'Drain it',
  text: 'It finishes the requests that it has, takes no more, and is replaced.',
  run: () => send('POST', `${pathOf(name)}/instances/${encodeURIComponent(id)}/drain`),
  done: () => `Instance ${id} of ${name} drains.`,
});

export const rollback = (name, release) => confirm({
  title: `Make release ${release.revision} of ${name} live?`, yes: `Go to release ${release.revision}`, danger: true,
  text: `Release ${release.revision} (${short(release.digest)}, accepted ${clock(release.accepted_at)}) takes over from the one that runs. Requests in flight finish where they are.`,
  run: () => send('POST', `${pathOf(name)}/rollback`, { release: String(release.revision) }),
  done: (outcome) => `${name} now has release ${outcome?.revision ?? release.revision}.`,
});

export const hold = (name) => confirm({
  title: `Hold deploys of ${name}?`, yes: 'Hold deploys',
  text: 'What runs goes on. New files wait until you resume.',
  run: () => send('POST', `${pathOf(name)}/hold`),
  done: () => `Deploys of ${name} are held.`,
});

export const resume = (name, held) => confirm({
  title: held ? `Take the held release of ${name} live?` : `Resume deploys of ${name}?`, yes: held ? 'Take it live' : 'Resume',
  text: held ? `Release ${short(held.digest)} goes live as it is${held.added.length ? ', with these capabilities that the running one does not have:' : '.'}` : 'New files are deployed again as they come.',
  list: held?.added ?? [], danger: Boolean(held?.added.length),
  run: () => send('POST', `${pathOf(name)}/resume`),
  done: () => (held ? `The held release of ${name} goes live.` : `Deploys of ${name} go on.`),
});
