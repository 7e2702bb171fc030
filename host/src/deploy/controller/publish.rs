//! From what was judged to what is served.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;

use tokio::task::JoinError;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::terms::Terms;
use super::{Controller, Ended, Entry};
use crate::config::ServiceName;
use crate::deploy::agreement::Disagreement;
use crate::deploy::fingerprint::Fingerprint;
use crate::deploy::prepare::{Judged, Warm};
use crate::exchange::Target;
use crate::router::{Conflict, Table};
use crate::service::{Release, Service};
use crate::wasm::typed::Bindings;

/// A warm release that is to be published.
pub(super) struct Candidate {
    pub(super) name: ServiceName,
    fingerprint: Option<Fingerprint>,
    pub(super) warm: Warm,
    /// Whom it calls; known once all is there that it needs.
    pub(super) bindings: Bindings,
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
                Err(error) => error!(%error, "a deploy task failed"),
            }
        }
        again |= self.publish(warm);
        self.tell_ready();
        again
    }

    /// Whether the last look found something else than what was judged. Files that couldn't be read
    /// are tried again by the watcher's slow tick.
    fn is_outdated(&self, judged: &Judged) -> bool {
        let found = self.found.settled.get(&judged.name);
        let found = found.map(|sighting| &sighting.fingerprint);
        judged.fingerprint.is_some() && judged.fingerprint.as_ref() != found
    }

    fn on_drained(&mut self, name: &ServiceName) {
        let entry = self.entries.get(name);
        if entry.is_some_and(|entry| entry.known.leaving) {
            self.entries.remove(name);
            self.publish_catalog();
        }
    }

    /// Notes a judgement. A release that is warm is given back, to be published.
    fn on_judged(&mut self, judged: Judged) -> Option<Candidate> {
        let Judged {
            name,
            fingerprint,
            outcome,
        } = judged;
        let entry = self.entries.get_mut(&name)?;
        entry.known.judged.clone_from(&fingerprint);
        entry.conflicted = false;
        match outcome {
            Ok(warm) => Some(Candidate {
                name,
                fingerprint,
                warm,
                bindings: Bindings::new(),
            }),
            Err(error) => {
                refuse(&entry.service, &format!("{error:#}"));
                self.decided(&name);
                None
            }
        }
    }

    /// What was prepared is live or refused.
    fn decided(&mut self, name: &ServiceName) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.known.preparing = false;
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
    fn publish(&mut self, warm: Vec<Candidate>) -> bool {
        let mut again = !self.waiting.is_empty();
        let mut batch = std::mem::take(&mut self.waiting);
        batch.extend(warm);
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

    fn publish_agreed(&mut self, warm: Vec<Candidate>) -> bool {
        if warm.is_empty() {
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

    fn go_live(&mut self, warm: Vec<Candidate>, table: Table<Target>) {
        let mut replaced = Vec::new();
        for Candidate {
            name,
            fingerprint,
            warm,
            bindings,
        } in warm
        {
            self.decided(&name);
            let Some(entry) = self.entries.get_mut(&name) else {
                continue;
            };
            let Warm {
                release,
                contract,
                links,
            } = warm;
            // before anything is asked of it
            links.set(bindings.clone());
            entry.terms = Some(Terms { contract, bindings });
            entry.known.running = fingerprint;
            let before = entry.live.replace(Arc::clone(&release));
            entry.service.publish(Some(Arc::clone(&release)));
            let routes = release.manifest.routes.iter().map(ToString::to_string);
            info!(service = %name, digest = %release.info.digest, routes = ?routes.collect::<Vec<_>>(),
                instances = release.manifest.instances.count.get(), "a release is live");
            replaced.extend(before.map(|old| (name, old)));
        }
        self.routes.store(Arc::new(table));
        for (name, old) in replaced {
            self.retire(name, old);
        }
    }

    /// Refuses a release that doesn't get along with others, which may change.
    fn refuse_for_now(&mut self, candidate: &Candidate, why: &dyn Display) {
        let name = &candidate.name;
        candidate.abandon();
        if let Some(entry) = self.entries.get_mut(name) {
            entry.conflicted = true;
            refuse(&entry.service, &format!("{name} is not taken: {why}"));
        }
        self.decided(name);
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
            entry.is_some_and(|entry| entry.known.preparing)
        };
        // where nothing is on its way, those that wait for one another would wait for ever
        let underway = self
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

    /// The table of routes if these releases were those of their services.
    fn table_with(&self, warm: &[Candidate]) -> Result<Table<Target>, Conflict> {
        let new: BTreeMap<_, _> = warm
            .iter()
            .map(|one| (&one.name, &one.warm.release))
            .collect();
        let (served, coming): (Vec<_>, Vec<_>) = self
            .entries
            .iter()
            .partition(|(name, _)| !new.contains_key(name));
        let served = served
            .into_iter()
            .filter_map(|(name, entry)| Some((name, entry, entry.live.as_ref()?)));
        // what is served comes first, so that a conflict is the newcomer's
        let coming = coming
            .into_iter()
            .filter_map(|(name, entry)| Some((name, entry, *new.get(name)?)));
        table(served.chain(coming))
    }

    pub(super) fn publish_routes(&self) {
        let live = self
            .entries
            .iter()
            .filter_map(|(name, entry)| Some((name, entry, entry.live.as_ref()?)));
        match table(live) {
            Ok(table) => self.routes.store(Arc::new(table)),
            // a part of a table without conflicts has none
            Err(conflict) => error!(%conflict, "the routes could not be rebuilt"),
        }
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

/// The table of these services' routes.
fn table<'a>(
    live: impl Iterator<Item = (&'a ServiceName, &'a Entry, &'a Arc<Release>)>,
) -> Result<Table<Target>, Conflict> {
    Table::build(live.map(|(name, entry, release)| {
        let target = Target {
            service: Arc::clone(&entry.service),
            release: Arc::clone(release),
        };
        (name.clone(), release.manifest.routes.clone(), target)
    }))
}

fn refuse(service: &Service, message: &str) {
    warn!(service = %service.name, reason = message, "a file is refused; what was served before still is");
    service.note_deploy_error(message.to_owned());
}
