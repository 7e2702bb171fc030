//! From what was judged to what is served.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinError;
use tokio::time::Instant;
use tracing::error;

use super::terms::Terms;
use super::{Controller, Ended};
use crate::config::{Rollout, ServiceName};
use crate::deploy::agreement::Disagreement;
use crate::deploy::fingerprint::Fingerprint;
use crate::deploy::operator::{Outcome, Progress};
use crate::deploy::prepare::{Judged, Warm};
use crate::deploy::releases::{Pin, State};
use crate::exchange::Target;
use crate::router::Table;
use crate::service::Release;
use crate::telemetry::events::{Event, Stage};
use crate::wasm::typed::Bindings;

/// A warm release that is to be published.
pub(super) struct Candidate {
    pub(super) name: ServiceName,
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) warm: Warm,
    /// Whom it calls; known once all is there that it needs.
    pub(super) bindings: Bindings,
    /// It comes from the services directory, not from what is kept.
    pub(super) from_files: bool,
    /// It has been tried and did well.
    pub(super) proven: bool,
}

impl Candidate {
    /// It does not go live.
    pub(super) fn abandon(&self) {
        self.warm.release.supervisor.drain(Instant::now());
    }
}

impl Controller {
    /// Takes in what has ended, and all else that has by now: a thousand releases that become warm
    /// at about the same time need not make a thousand tables. `true` if the directory may hold what
    /// no look has dealt with.
    pub(super) fn on_ended(&mut self, ended: Result<Ended, JoinError>) -> bool {
        let mut again = false;
        let mut warm = Vec::new();
        let mut ended = Some(ended);
        while let Some(one) = ended.take().or_else(|| self.tasks.try_join_next()) {
            match one {
                Ok(Ended::Judged(judged)) => {
                    again |= self.is_outdated(&judged);
                    warm.extend(self.on_judged(judged));
                }
                Ok(Ended::Drained(name)) => self.on_drained(&name),
                Ok(Ended::Tried(name, canary, found)) => {
                    warm.extend(self.on_tried(&name, &canary, found));
                }
                Ok(Ended::Watched {
                    name,
                    release,
                    good,
                    found,
                }) => {
                    self.on_watched(&name, &release, good, found);
                }
                Err(error) => error!(%error, "a deploy task failed"),
            }
        }
        // those that were tried first: what is new may be to be compared with them
        let (proven, new) = warm.into_iter().partition(|one: &Candidate| one.proven);
        again |= self.publish(proven);
        again |= self.publish(new);
        again |= std::mem::take(&mut self.look_again);
        self.tell_ready();
        again
    }

    /// Whether the last look found something else than what was judged. Files that couldn't be read
    /// are tried again by the watcher's slow tick.
    fn is_outdated(&self, judged: &Judged) -> bool {
        let found = self.found.settled.get(&judged.service.name);
        let found = found.map(|sighting| &sighting.fingerprint);
        judged.from_files && judged.fingerprint.is_some() && judged.fingerprint.as_ref() != found
    }

    fn on_drained(&mut self, name: &ServiceName) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        entry.retiring = entry.retiring.saturating_sub(1);
        if entry.known.leaving && entry.retiring == 0 {
            self.forget(name);
            self.publish_catalog();
        }
    }

    /// Nothing is left of a service but what is kept of it.
    pub(super) fn forget(&mut self, name: &ServiceName) {
        if let Some(entry) = self.entries.remove(name) {
            entry.service.metrics.settle();
        }
        self.workshop.ledger.logbook.forget(name);
        self.workshop.ledger.metrics.forget(name);
    }

    /// What was prepared is live or refused.
    pub(super) fn decided(&mut self, name: &ServiceName) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.known.preparing = entry.known.preparing.saturating_sub(1);
            if entry.known.preparing > 0 {
                return;
            }
            if std::mem::take(&mut entry.first) {
                // the files are still to be judged
                self.look_again = true;
                return;
            }
        }
        self.no_longer_awaited(name);
    }

    /// Nobody waits for a service before the server is ready.
    pub(super) fn no_longer_awaited(&mut self, name: &ServiceName) {
        if let Some(awaited) = &mut self.awaited {
            awaited.remove(name);
        }
    }

    /// Makes warm releases those that are served, in one step if they get along with each other and
    /// with what is served. `true` if files that were refused may now be taken, or changed while their
    /// releases waited.
    pub(super) fn publish(&mut self, warm: Vec<Candidate>) -> bool {
        let mut again = !self.waiting.is_empty();
        let mut batch = std::mem::take(&mut self.waiting);
        batch.extend(warm);
        let (held, batch) = batch.into_iter().partition(|one| self.has_to_wait(one));
        self.put_back(held);
        let (agreed, disagreeing) = self.sift(batch);
        again |= self.publish_agreed(agreed);
        let (hopeful, refused) = self.may_still_agree(disagreeing);
        self.waiting.extend(hopeful);
        let hopes_end = !refused.is_empty() && !self.waiting.is_empty();
        for (candidate, disagreement) in refused {
            self.refuse_for_now(&candidate, &disagreement);
        }
        if hopes_end {
            again |= self.publish(Vec::new());
        }
        again
    }

    /// Leaves releases that were on their way when the operator began to hold deploys.
    fn put_back(&mut self, held: Vec<Candidate>) {
        for candidate in held {
            let name = &candidate.name;
            if candidate.proven {
                if let Some(entry) = self.entries.get(name) {
                    entry.service.try_out(None);
                }
                self.retire(name.clone(), Arc::clone(&candidate.warm.release));
            } else {
                candidate.abandon();
            }
            self.hold_back(&candidate);
            self.decided(name);
        }
    }

    fn publish_agreed(&mut self, warm: Vec<Candidate>) -> bool {
        if warm.is_empty() {
            return false;
        }
        let warm = self.try_first(warm);
        if warm.is_empty() {
            // nothing that others may have waited for
            return false;
        }
        match self.table_with(&warm) {
            Ok(table) => {
                self.go_live(warm, table);
                self.retry_conflicts()
            }
            Err(conflict) => match <[Candidate; 1]>::try_from(warm) {
                Ok([alone]) => {
                    self.refuse_for_now(&alone, &conflict);
                    false
                }
                // one by one, to see which of them it is
                Err(several) => {
                    let mut again = false;
                    for one in several {
                        again |= self.publish(vec![one]);
                    }
                    again
                }
            },
        }
    }

    /// Gives releases that have to stand up to others a share of the requests. Gives the others back.
    fn try_first(&mut self, warm: Vec<Candidate>) -> Vec<Candidate> {
        let mut at_once = Vec::new();
        for candidate in warm {
            let Some(rollout) = self.rollout(&candidate).cloned() else {
                at_once.push(candidate);
                continue;
            };
            // it would be for nothing if it couldn't take over
            match self.table_with(std::slice::from_ref(&candidate)) {
                Ok(_) => self.start_canary(candidate, &rollout),
                Err(conflict) => self.refuse_for_now(&candidate, &conflict),
            }
        }
        at_once
    }

    /// How a release has to stand up to the one that runs, if it has to.
    pub(super) fn rollout<'a>(&self, candidate: &'a Candidate) -> Option<&'a Rollout> {
        let runs = self.entries.get(&candidate.name)?.live.is_some();
        let rollout = candidate.warm.release.manifest.rollout.as_ref()?;
        (runs && candidate.from_files && !candidate.proven).then_some(rollout)
    }

    fn go_live(&mut self, warm: Vec<Candidate>, table: Table<Target>) {
        let mut placed = Vec::new();
        for candidate in warm {
            let (name, release) = (candidate.name.clone(), Arc::clone(&candidate.warm.release));
            let content = candidate.fingerprint.clone();
            let content = content.filter(|_| candidate.from_files);
            let before = self.put_in_place(candidate);
            placed.push((name, release, content, before));
        }
        self.routes.store(Arc::new(table));
        for (name, release, content, before) in placed {
            // who is told of it is answered by it
            if let Some(entry) = self.entries.get_mut(&name) {
                let live = Outcome::of(&release.info, Progress::Live);
                entry.told(content.as_ref(), &Ok(live));
            }
            if let Some(before) = before {
                self.watch(&name, &release, &before);
                self.retire(name, before);
            }
        }
    }

    /// Makes a release the one of its service. Gives back the one before.
    fn put_in_place(&mut self, candidate: Candidate) -> Option<Arc<Release>> {
        let Candidate {
            name,
            fingerprint,
            warm,
            bindings,
            from_files,
            proven,
        } = candidate;
        let (events, archive) = (&self.workshop.ledger.events, &self.workshop.archive);
        let release = warm.release;
        let event = |stage| Event::deploy(stage).release(&release.info);
        events.tell(event(Stage::Shifting).say("requests go over to it"));
        // before anything is asked of it; what was tried keeps those that it was tried with
        let bindings = warm.links.set(bindings).clone();
        let entry = self.entries.get_mut(&name)?;
        entry.terms = Some(Terms {
            contract: warm.contract,
            bindings,
        });
        let content = fingerprint.clone();
        let before = entry.runs(&release, fingerprint, warm.facts);
        entry.service.publish(Some(Arc::clone(&release)));
        if proven {
            entry.service.try_out(None);
        }
        archive.mark(&name, release.info.revision, State::Live, None);
        let routes = release.manifest.routes.iter().map(ToString::to_string);
        let routes: Vec<_> = routes.collect();
        let instances = release.manifest.instances.count;
        events.tell(event(Stage::Live).say(format!(
            "release {} is live with {instances} instances at {}",
            release.info.revision,
            if routes.is_empty() {
                "no route".to_owned()
            } else {
                routes.join(", ")
            }
        )));
        if !proven {
            self.end_canary(&name, "another release took over before it was decided");
        }
        if !from_files {
            self.pin_to(&name, &release);
        } else if !self.keep_newer_pin(&name, content.as_ref(), &release) {
            self.settle_pin(&name);
        }
        self.decided(&name);
        before
    }

    /// Files that came after those of this release are held, and still are. `false` if there are none.
    fn keep_newer_pin(
        &mut self,
        name: &ServiceName,
        content: Option<&Fingerprint>,
        release: &Release,
    ) -> bool {
        let found = self.found.settled.get(name).map(|found| &found.fingerprint);
        let pin = self.entries.get(name).and_then(|entry| entry.pin.clone());
        let newer = |pin: &Pin| content != Some(&pin.seen) && found == Some(&pin.seen);
        let Some(pin) = pin.filter(newer) else {
            return false;
        };
        let run = release.info.revision;
        self.keep_pin(name, Pin { run, ..pin });
        true
    }

    /// Parts releases that lack something of another service: those whose others are being prepared, or
    /// wait themselves, and those for which there is no hope.
    fn may_still_agree(
        &self,
        disagreeing: Vec<(Candidate, Disagreement)>,
    ) -> (Vec<Candidate>, Vec<(Candidate, Disagreement)>) {
        let undecided: BTreeSet<_> = disagreeing.iter().map(|(one, _)| &one.name).collect();
        let preparing = |name: &ServiceName| {
            let entry = self.entries.get(name);
            let prepared = entry.is_some_and(|entry| entry.known.preparing > 0);
            prepared || self.found.unsettled.contains(name)
        };
        // where nothing is on its way, those that wait for one another would wait for ever
        let underway = !self.found.unsettled.is_empty()
            || self
                .entries
                .keys()
                .any(|name| preparing(name) && !undecided.contains(name));
        let hopeful = |(candidate, disagreement): &(Candidate, Disagreement)| {
            underway && disagreement.others(&candidate.name).iter().any(preparing)
        };
        let hopeful: Vec<_> = disagreeing.iter().map(hopeful).collect();
        let (mut waiting, mut refused) = (Vec::new(), Vec::new());
        for (one, hopeful) in disagreeing.into_iter().zip(hopeful) {
            if hopeful {
                waiting.push(one.0);
            } else {
                refused.push(one);
            }
        }
        (waiting, refused)
    }

    pub(super) fn publish_catalog(&self) {
        let services = self
            .entries
            .iter()
            .map(|(name, entry)| (name.clone(), Arc::clone(&entry.service)));
        self.catalog.store(Arc::new(services.collect()));
    }

    /// Files refused for a conflict are judged again, now that others have changed, and awaited if the
    /// server isn't ready. `true` if there are any.
    pub(super) fn retry_conflicts(&mut self) -> bool {
        let mut any = false;
        for (name, entry) in &mut self.entries {
            if !std::mem::take(&mut entry.conflicted) {
                continue;
            }
            entry.known.judged = None;
            any = true;
            if let Some(awaited) = &mut self.awaited
                && !*self.ready.borrow()
            {
                awaited.insert(name.clone());
            }
        }
        any
    }

    pub(super) fn tell_ready(&self) {
        if self.awaited.as_ref().is_some_and(BTreeSet::is_empty) {
            self.ready.send_replace(true);
        }
    }
}
